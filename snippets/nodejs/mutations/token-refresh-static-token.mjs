// As token-refresh.mjs, but with one token, as if it were a password.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000' } = process.env;
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    stopped = true;
  });
}

const provider = EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity(
  {
    clientId: '',
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  },
);
const [{ username, password }, subscription] = await provider.subscribe({
  onNext: () => {},
  onError: () => {},
});
subscription.dispose();

const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  username,
  password,
});
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
