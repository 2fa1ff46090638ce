// Tells what a client does that is refused: connect() neither returns nor throws.

import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const { AZURE_CLIENT_ID = '', REDIS_HOST, REDIS_PORT = '10000' } = process.env;
const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForUserAssignedManagedIdentity({
    clientId: AZURE_CLIENT_ID,
    userAssignedClientId: AZURE_CLIENT_ID,
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  });

const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider,
});
let attempts = 0;
client.on('error', (error) => {
  attempts += 1;
  console.log(`attempt ${attempts}: ${error.message}`);
  if (attempts === 3) {
    console.log('and so on, for ever');
    process.exit(1);
  }
});
await client.connect();
console.log('connected');
