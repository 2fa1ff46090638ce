// Signs in as user-assigned-identity.mjs does. Nothing listens for errors, so the first
// one ends the process.

import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const { AZURE_CLIENT_ID = '', REDIS_HOST, REDIS_PORT = '10000' } = process.env;

const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider:
    EntraIdCredentialsProviderFactory.createForUserAssignedManagedIdentity({
      clientId: AZURE_CLIENT_ID,
      userAssignedClientId: AZURE_CLIENT_ID,
      tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
    }),
});
await client.connect();
console.log(await client.ping());
await client.close();
