// The network fails for a moment when a token is due: with the library's own idea of what
// to try again, and with another.

import { DEFAULT_RETRY_POLICY, EntraIdCredentialsProviderFactory } from '@redis/entraid';
import { createClient } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000' } = process.env;

/** @param {string} name @param {typeof DEFAULT_RETRY_POLICY} retry */
async function renew(name, retry) {
  const network = globalThis.fetch;
  let requests = 0;
  globalThis.fetch = (...request) => {
    requests += 1;
    return requests === 2
      ? Promise.reject(new TypeError('fetch failed'))
      : network(...request);
  };

  const credentialsProvider =
    EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
      clientId: '',
      // Early, so that there is time left to try again.
      tokenManagerConfig: { expirationRefreshRatio: 0.2, retry },
      onRetryableError: (message) => console.log(`${name}: ${message}`),
      onReAuthenticationError: (error) => console.log(`${name}: ${error.message}`),
    });
  const client = createClient({
    url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
    credentialsProvider,
  });
  client.on('error', (error) => console.log(`${name}: ${error.message}`));
  await client.connect();
  const lost = new Promise((resolve) =>
    client.once('ready', () => resolve('connected anew')),
  );
  const renewed = Promise.withResolvers();
  const [, subscription] = await credentialsProvider.subscribe({
    onNext: () => renewed.resolve('signed in again'),
    onError: () => {},
  });
  console.log(`${name}: ${await Promise.race([lost, renewed.promise])}`);
  await client.ping();
  subscription.dispose();
  client.destroy();
  globalThis.fetch = network;
}

await renew('every error is tried again', {
  ...DEFAULT_RETRY_POLICY,
  isRetryable: () => true,
});
await renew('the default policy', DEFAULT_RETRY_POLICY);
process.exit();
