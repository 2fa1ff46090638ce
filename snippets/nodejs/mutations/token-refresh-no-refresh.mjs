// As token-refresh.mjs, but every connection gets a token when it opens, and none after
// that.

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

const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider: {
    type: 'async-credentials-provider',
    credentials: async () => {
      const [credentials, subscription] = await provider.subscribe({
        onNext: () => {},
        onError: () => {},
      });
      subscription.dispose();
      return credentials;
    },
  },
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
