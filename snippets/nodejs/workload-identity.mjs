// Signs in to Azure Managed Redis with the workload identity of a pod in Azure Kubernetes
// Service.

import { WorkloadIdentityCredential } from '@azure/identity';
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
// This factory takes any credential of @azure/identity. Tenant, client id and the file
// with the pod's token come from the environment that the cluster sets.
const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForDefaultAzureCredential({
    credential: new WorkloadIdentityCredential(),
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
