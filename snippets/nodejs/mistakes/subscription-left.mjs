// Loses a connection, connects again and closes the client. Its provider does not stop.

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
    onReAuthenticationError: (error) => {
      console.log(`renewed all the same: ${error.message}`);
      process.exit();
    },
  });
const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider,
});
client.on('error', (error) => console.log(error.message));
await client.connect();
console.log(`connected: ${credentialsProvider.getSubscriptionsCount()} subscription`);

// The server closes the connection, as it does when it is idle for long or fails over.
await client.sendCommand(['QUIT']);
await new Promise((resolve) => client.once('ready', resolve));
console.log(
  `connected again: ${credentialsProvider.getSubscriptionsCount()} subscriptions`,
);

await client.close();
console.log(`closed: ${credentialsProvider.getSubscriptionsCount()} subscription`);
