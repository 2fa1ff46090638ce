// Keeps one connection to Azure Managed Redis busy while its token is renewed again and
// again, until it is told to stop.

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
// Fetches the next token when 70 % of the life of this one have passed. Every open
// connection then signs in again with it.
const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
    clientId: '', // The type wants one; nothing reads it.
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  });

const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider,
});
// Without a listener, the first error ends the process. With one, it connects again.
client.on('error', console.error);
await client.connect();

let roundTrips = 0;
while (!stopped) {
  await client.set('round-trips', roundTrips);
  assert.equal(Number(await client.get('round-trips')), roundTrips);
  roundTrips += 1;
  await sleep(150);
}
await client.close();
console.log(`${roundTrips} round trips on one connection, none failed.`);
// ANCHOR_END: shown
