import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { debianPostgresPath } from '../../tools/debian-postgres.mjs';
import { type Servers, startServers } from './servers.ts';
import { runWhole, smallMapping } from './whole.ts';

// Whole migrations with real processes: on a busy machine they take their time.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 180_000 });

describe('the bank moves to another PostgreSQL and back, in use', () => {
  let servers: Servers;
  beforeAll(async () => {
    servers = await startServers(debianPostgresPath() || undefined, false);
  });
  afterAll(() => servers.close());

  it('nothing is lost, nothing fails, and no two databases take writes', async () => {
    const said: string[] = [];
    const verdict = await runWhole(servers, {
      rows: 20_000,
      rate: 80,
      switches: 4,
      newWritesSeconds: 1,
      settleSeconds: 1,
      workers: 2,
      // On a machine that is busy otherwise everything takes its time; it must not fail.
      waitMs: 15_000,
      mapping: smallMapping,
      say: (line) => said.push(line),
    });
    expect(verdict.faults, [...said, ...verdict.lines].join('\n')).toEqual([]);
    expect(said.filter((line) => /^(switch|rollback): /.test(line))).toHaveLength(5);
  });
});
