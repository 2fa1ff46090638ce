// Names a user-assigned identity to the factory for system-assigned ones, which takes the
// name and does not use it.

import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const { AZURE_CLIENT_ID = '', REDIS_HOST, REDIS_PORT = '10000' } = process.env;

const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider:
    EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
      clientId: AZURE_CLIENT_ID,
      tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
    }),
});
await client.connect();
console.log(`signed in as ${await client.sendCommand(['ACL', 'WHOAMI'])}`);
await client.close();
