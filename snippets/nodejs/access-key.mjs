// Signs in to Azure Managed Redis with an access key, as most programs did until now.

import { createClient } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000', REDIS_ACCESS_KEY } = process.env;
if (!REDIS_HOST || !REDIS_ACCESS_KEY) {
  throw new Error('REDIS_HOST or REDIS_ACCESS_KEY is not set');
}

// ANCHOR: shown
const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  password: REDIS_ACCESS_KEY,
});
// Without a listener, the first error ends the process.
client.on('error', console.error);
await client.connect();

console.log(await client.ping());
await client.close();
// ANCHOR_END: shown
