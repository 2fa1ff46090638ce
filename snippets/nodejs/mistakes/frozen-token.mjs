// Fetches a token once and uses it as if it were a password.

import { ManagedIdentityCredential } from '@azure/identity';
import { createClient } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000', REDIS_USERNAME } = process.env;

const { token } = await new ManagedIdentityCredential().getToken(
  'https://redis.azure.com/.default',
);
const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  username: REDIS_USERNAME,
  password: token,
});
let refused = 0;
client.on('error', (error) => {
  console.log(error.message);
  refused += Number(error.message.startsWith('WRONGPASS'));
  if (refused === 2) {
    console.log('and so on, for ever');
    process.exit(1);
  }
});
await client.connect();
console.log(await client.ping());
