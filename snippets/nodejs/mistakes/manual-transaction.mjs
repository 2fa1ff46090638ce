// Sends the commands of a transaction one by one, while its connection is due to sign in
// again.

import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000' } = process.env;

const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
    clientId: '',
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  });
const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider,
});
client.on('error', (error) => console.log(error.message));
await client.connect();

console.log('MULTI:', await client.sendCommand(['MULTI']));
console.log('INCR:', await client.sendCommand(['INCR', 'orders']));
// Longer than a token lives. The AUTH that should renew the sign-in waits in the
// transaction too.
await new Promise((resolve) => client.once('ready', resolve));
console.log('EXEC:', await client.sendCommand(['EXEC']).catch((error) => error.message));
console.log('orders:', await client.get('orders'));
process.exit();
