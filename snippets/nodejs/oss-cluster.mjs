// Reads and writes across the shards of an Azure Managed Redis with the clustering policy
// OSSCluster. Each shard is a connection of its own, and signs in by itself.

import assert from 'node:assert/strict';
import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createCluster } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000' } = process.env;
if (!REDIS_HOST) {
  throw new Error('REDIS_HOST is not set');
}

// ANCHOR: shown
const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
    clientId: '', // The type wants one; nothing reads it.
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  });

const cluster = createCluster({
  rootNodes: [{ url: `rediss://${REDIS_HOST}:${REDIS_PORT}` }],
  defaults: { credentialsProvider, socket: { tls: true } },
  // The shards announce IP addresses, and the certificate names the host: reach each by it.
  nodeAddressMap: (address) => ({
    host: REDIS_HOST,
    port: Number(address.slice(address.lastIndexOf(':') + 1)),
  }),
});
cluster.on('error', console.error);
cluster.on('node-error', console.error); // What happens to one of the shards.
await cluster.connect();

for (let n = 0; n < 30; n += 1) {
  await cluster.set(`order:${n}`, n);
  assert.equal(Number(await cluster.get(`order:${n}`)), n);
}
console.log('30 keys written and read, wherever they are');
await cluster.close();
// ANCHOR_END: shown
