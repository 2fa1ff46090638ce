// Connects to the shards of an OSSCluster at the addresses that they announce.

import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createCluster } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000' } = process.env;
const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
    clientId: '',
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  });

const cluster = createCluster({
  rootNodes: [{ url: `rediss://${REDIS_HOST}:${REDIS_PORT}` }],
  defaults: { credentialsProvider, socket: { tls: true } },
});
// Never emitted here. Without the next listener, the program would wait for ever and say
// nothing.
cluster.on('error', (error) => console.log('error', error));
cluster.on('node-error', (error) => {
  console.log(`${error.code}: ${error.message}`);
  process.exit(1);
});
await cluster.connect();
