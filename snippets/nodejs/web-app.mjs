// A web application that counts its visitors in Azure Managed Redis. It serves at the
// port that PORT names, as App Service wants it.

import { once } from 'node:events';
import {
  DEFAULT_RETRY_POLICY,
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import express from 'express';
import { createClient } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000', PORT = '8080' } = process.env;
if (!REDIS_HOST) {
  throw new Error('REDIS_HOST is not set');
}

// ANCHOR: shown
const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
    clientId: '', // The type wants one; nothing reads it.
    tokenManagerConfig: {
      ...DEFAULT_TOKEN_MANAGER_CONFIG,
      // By default the first failure to get a new token is final.
      retry: { ...DEFAULT_RETRY_POLICY, isRetryable: () => true },
    },
  });

// One for all requests. It connects again by itself, as long as somebody listens for its
// errors.
const redis = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider,
});
redis.on('error', console.error);
await redis.connect();

const app = express();
app.get('/', async (_request, response) => {
  const visits = await redis.incr('visits');
  response.type('text').send(`visit ${visits}\n`);
});

const server = app.listen(Number(PORT));
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => server.close());
}
await once(server, 'close');
await redis.close();
// ANCHOR_END: shown
