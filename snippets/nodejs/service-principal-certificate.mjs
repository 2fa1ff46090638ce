// Signs in to Azure Managed Redis as a service principal that proves itself with a
// certificate. The file holds the certificate and its private key, in PEM.

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClient } from 'redis';

const { AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_CERTIFICATE_PATH } = process.env;
const { REDIS_HOST, REDIS_PORT = '10000' } = process.env;
if (
  !AZURE_TENANT_ID ||
  !AZURE_CLIENT_ID ||
  !AZURE_CLIENT_CERTIFICATE_PATH ||
  !REDIS_HOST
) {
  throw new Error(
    'AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_CERTIFICATE_PATH or REDIS_HOST is not set',
  );
}

// ANCHOR: shown
const pem = await readFile(AZURE_CLIENT_CERTIFICATE_PATH, 'utf8');
const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForClientCredentialsWithCertificate({
    authorityConfig: { type: 'multi-tenant', tenantId: AZURE_TENANT_ID },
    clientId: AZURE_CLIENT_ID,
    certificate: {
      thumbprint: new X509Certificate(pem).fingerprint.replaceAll(':', ''),
      privateKey: pem,
    },
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
