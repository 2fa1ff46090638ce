// Signs in to Azure Managed Redis with a token in place of an access key, and goes on while
// access keys are turned off, until it is told to stop.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient, SocketClosedUnexpectedlyError } from 'redis';

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
const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  // In place of `password`.
  credentialsProvider:
    EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
      clientId: '', // The type wants one; nothing reads it.
      tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
    }),
});
// Turning access keys off drops every connection, those that signed in with a token too. With
// a listener, the client connects again and signs in with the present token.
client.on('error', console.error);
await client.connect();

/** @param {number} number */
async function roundTrip(number) {
  await client.set('round-trips', number);
  return Number(await client.get('round-trips'));
}

let roundTrips = 0;
while (!stopped) {
  const stored = await roundTrip(roundTrips).catch((error) => {
    // The connection went while the command was on its way. It may be repeated.
    if (error instanceof SocketClosedUnexpectedlyError) return roundTrip(roundTrips);
    throw error;
  });
  assert.equal(stored, roundTrips);
  roundTrips += 1;
  await sleep(100);
}
await client.close();
console.log(`${roundTrips} round trips, none lost`);
// After a reconnect the provider does not stop with its client.
process.exit();
// ANCHOR_END: shown
