// Connects two clients that share a provider, and there is no token for them.

import { setTimeout as sleep } from 'node:timers/promises';
import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const { AZURE_CLIENT_ID = '', REDIS_HOST, REDIS_PORT = '10000' } = process.env;

const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForUserAssignedManagedIdentity({
    clientId: AZURE_CLIENT_ID,
    userAssignedClientId: AZURE_CLIENT_ID,
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  });
async function connect() {
  const client = createClient({
    url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
    socket: { reconnectStrategy: false },
    credentialsProvider,
  });
  client.on('error', () => {});
  await client.connect().catch((error) => console.log(`one client: ${error.message}`));
}

const clients = [connect(), connect()];
await Promise.race(clients);
await Promise.race([Promise.all(clients), sleep(2000)]);
console.log('the other: neither connected nor failed, two seconds later');
process.exit(1);
