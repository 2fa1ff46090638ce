// As user-assigned-identity.mjs, but it signs in with the system-assigned identity.

import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const { AZURE_CLIENT_ID, REDIS_HOST, REDIS_PORT = '10000' } = process.env;
if (!AZURE_CLIENT_ID || !REDIS_HOST) {
  throw new Error('AZURE_CLIENT_ID or REDIS_HOST is not set');
}

const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
    clientId: AZURE_CLIENT_ID,
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  });

const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider,
});
// Without a listener, the first error ends the process.
client.on('error', console.error);
await client.connect();

console.log(await client.ping());
await client.close();
