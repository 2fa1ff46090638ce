// Many tasks share a few connections to Azure Managed Redis while tokens are renewed,
// until the program is told to stop.

import { setTimeout as sleep } from 'node:timers/promises';
import {
  DEFAULT_TOKEN_MANAGER_CONFIG,
  EntraIdCredentialsProviderFactory,
} from '@redis/entraid';
import { createClientPool } from 'redis';

const { REDIS_HOST, REDIS_PORT = '10000' } = process.env;
if (!REDIS_HOST) {
  throw new Error('REDIS_HOST is not set');
}
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    stopped = true;
  });
}

// ANCHOR: shown
const credentialsProvider =
  EntraIdCredentialsProviderFactory.createForSystemAssignedManagedIdentity({
    clientId: '', // The type wants one; nothing reads it.
    tokenManagerConfig: DEFAULT_TOKEN_MANAGER_CONFIG,
  });

// One client carries many commands at once. A pool is for commands that block, or watch.
const pool = createClientPool(
  { url: `rediss://${REDIS_HOST}:${REDIS_PORT}`, credentialsProvider },
  { minimum: 4, maximum: 4 },
);
pool.on('error', console.error);
await pool.connect();

let commands = 0;
/** @param {number} task */
async function work(task) {
  while (!stopped) {
    await pool.incr(`task:${task}`);
    commands += 1;
    await sleep(20);
  }
}
await Promise.all(Array.from({ length: 40 }, (_, task) => work(task)));

await pool.close();
console.log(`${commands} commands of 40 tasks on 4 connections, none failed`);
// ANCHOR_END: shown
