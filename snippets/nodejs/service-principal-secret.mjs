// Signs in to Azure Managed Redis as a service principal that proves itself with a client
// secret.

import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const { AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET } = process.env;
const { REDIS_HOST, REDIS_PORT = '10000' } = process.env;
if (!AZURE_TENANT_ID || !AZURE_CLIENT_ID || !AZURE_CLIENT_SECRET || !REDIS_HOST) {
  throw new Error(
    'AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET or REDIS_HOST is not set',
  );
}

// ANCHOR: shown
const credentialsProvider = EntraIdCredentialsProviderFactory.createForClientCredentials({
  authorityConfig: { type: 'multi-tenant', tenantId: AZURE_TENANT_ID },
  clientId: AZURE_CLIENT_ID,
  clientSecret: AZURE_CLIENT_SECRET,
  tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
});

// The user name is the principal's object id. The provider reads it from the token.
const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider,
});
// Without a listener, the first error ends the process.
client.on('error', console.error);
await client.connect();

console.log(await client.ping());
await client.close();
// ANCHOR_END: shown
