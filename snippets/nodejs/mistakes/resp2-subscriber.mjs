// Subscribes on RESP2, where a connection that has subscribed cannot sign in again.

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
const subscriber = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  RESP: 2,
  credentialsProvider,
});
subscriber.on('error', (error) => console.log(error.message));
await subscriber.connect();
await subscriber.subscribe('orders', () => {});
console.log('subscribed');

await new Promise((resolve) => subscriber.once('ready', resolve));
console.log('subscribed again');
// Closing the client would not be enough: see subscription-left.mjs.
process.exit();
