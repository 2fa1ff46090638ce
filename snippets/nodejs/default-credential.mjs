// Signs in to Azure Managed Redis with whatever identity there is: your own on your
// machine, the application's in Azure.

import { DefaultAzureCredential } from '@azure/identity';
import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
  REDIS_SCOPE_DEFAULT,
} from '@redis/entraid';
import { createClient } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000' } = process.env;
if (!REDIS_HOST) {
  throw new Error('REDIS_HOST is not set');
}

// ANCHOR: shown
// AZURE_TOKEN_CREDENTIALS says what is tried: `dev`, `prod`, or the name of a credential.
const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForDefaultAzureCredential({
    credential: new DefaultAzureCredential(),
    scopes: REDIS_SCOPE_DEFAULT,
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
// ANCHOR_END: shown
