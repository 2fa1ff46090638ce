// Publishes and subscribes on Azure Managed Redis while tokens are renewed, until it is
// told to stop, and counts that no message is lost.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000' } = process.env;
if (!REDIS_HOST) {
  throw new Error('REDIS_HOST is not set');
}
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    stopped = true;
  });
}

// ANCHOR: shown
const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
    clientId: '', // The type wants one; nothing reads it.
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  });

const subscriber = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  RESP: 3, // The default. On RESP2 a connection that has subscribed cannot sign in again.
  credentialsProvider,
});
subscriber.on('error', console.error);
const publisher = subscriber.duplicate();
publisher.on('error', console.error);
await Promise.all([subscriber.connect(), publisher.connect()]);

let published = 0;
let received = 0;
await subscriber.subscribe('orders', () => {
  received += 1;
});
while (!stopped) {
  await publisher.publish('orders', `order ${published}`);
  published += 1;
  await sleep(100);
}
// Its answer comes after every message on this connection.
await subscriber.unsubscribe('orders');
assert.equal(received, published);
console.log(`${received} messages received, none lost`);
await Promise.all([subscriber.close(), publisher.close()]);
// ANCHOR_END: shown
