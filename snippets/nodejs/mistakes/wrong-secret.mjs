// Signs in as service-principal-secret.mjs does. Nothing listens for errors, so the first one ends
// the process.

import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const {
  AZURE_TENANT_ID = '',
  AZURE_CLIENT_ID = '',
  AZURE_CLIENT_SECRET = '',
  REDIS_HOST,
  REDIS_PORT = '10000',
} = process.env;

const client = createClient({
  url: `rediss://${REDIS_HOST}:${REDIS_PORT}`,
  credentialsProvider: EntraIdCredentialsProviderFactory.createForClientCredentials({
    authorityConfig: { type: 'multi-tenant', tenantId: AZURE_TENANT_ID },
    clientId: AZURE_CLIENT_ID,
    clientSecret: AZURE_CLIENT_SECRET,
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  }),
});
await client.connect();
console.log(await client.ping());
await client.close();
