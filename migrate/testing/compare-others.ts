import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { query } from './databases.ts';
import type { startWritersApart } from './writers-apart.ts';

/** What a copy took. */
export interface Outcome {
  readonly rows: number;
  /** From the first command until every row and index is there. */
  readonly seconds: number;
  /** For how long nobody may write, so that nothing is lost. */
  readonly stopSeconds: number;
  readonly note: string;
}

interface Given {
  readonly blue: string;
  /** An empty database. */
  readonly green: string;
  readonly workers: number;
  startWriters(green: string): ReturnType<typeof startWritersApart>;
}

/** What else copies a database, each as its manual says. A sentence: it cannot be had here. */
export const others: readonly {
  readonly name: string;
  run(given: Given): Promise<Outcome | string>;
}[] = [
  { name: 'pg_dump | psql', run: byDump },
  { name: 'pgcopydb clone', run: byPgcopydb },
  { name: 'logical replication', run: byLogicalReplication },
];

async function shell(command: string, given: Given): Promise<void> {
  const child = spawn('bash', ['-c', `set -eo pipefail; ${command}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { PATH: '/usr/bin:/bin', BLUE: given.blue, GREEN: given.green },
  });
  await once(child, 'close');
  if (child.exitCode !== 0) throw new Error(`it ended with ${child.exitCode}: ${command}`);
}

async function countRows(url: string): Promise<number> {
  const [row] = await query(
    url,
    `select (select count(*) from customer) + (select count(*) from profile)
       + (select count(*) from account) + (select count(*) from transfer) as n`,
  );
  return Number(row?.n);
}

/** Whoever writes after the snapshot of the copy is not in it, so the whole of it is a stop. */
async function stopped(given: Given, note: string, command: string): Promise<Outcome> {
  const startedMs = performance.now();
  await shell(command, given);
  const seconds = (performance.now() - startedMs) / 1000;
  return { rows: await countRows(given.green), seconds, stopSeconds: seconds, note };
}

async function byDump(given: Given): Promise<Outcome> {
  return stopped(
    given,
    'one connection; nothing compared',
    'pg_dump --no-owner "$BLUE" | psql -qX -v ON_ERROR_STOP=1 -o /dev/null "$GREEN"',
  );
}

async function byPgcopydb(given: Given): Promise<Outcome | string> {
  if (!existsSync('/usr/bin/pgcopydb')) return 'apt-get install pgcopydb';
  const directory = await mkdtemp(join(tmpdir(), 'migrate-pgcopydb-'));
  const jobs = `--table-jobs ${given.workers} --index-jobs ${given.workers}`;
  try {
    return await stopped(
      given,
      `${given.workers} jobs; nothing compared`,
      `pgcopydb clone --source "$BLUE" --target "$GREEN" ${jobs} --no-owner --no-acl ` +
        `--dir ${directory}/work 2>/dev/null`,
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function byLogicalReplication(given: Given): Promise<Outcome> {
  const { blue, green } = given;
  const writers = given.startWriters(green);
  const startedMs = performance.now();
  await shell('pg_dump --schema-only --no-owner "$BLUE" | psql -qX -o /dev/null "$GREEN"', given);
  await query(blue, 'create publication everything for all tables');
  await query(
    green,
    `create subscription everything connection '${libpqString(blue)}' publication everything`,
  );
  await untilTrue(
    green,
    `select bool_and(r.srsubstate = 'r') as done from pg_subscription_rel r`,
    100,
  );
  const seconds = (performance.now() - startedMs) / 1000;
  const ledger = await writers.stop();
  const stopMs = performance.now();
  const [at] = await query(blue, 'select pg_current_wal_lsn()::text as lsn');
  await untilTrue(
    blue,
    `select bool_and(r.replay_lsn >= '${at?.lsn}') as done from pg_stat_replication r`,
    5,
  );
  for (const sequence of ['customer_id_seq', 'account_id_seq']) {
    const [row] = await query(blue, `select s.last_value as value from ${sequence} s`);
    await query(green, `select setval('${sequence}', ${row?.value})`);
  }
  const stopSeconds = (performance.now() - stopMs) / 1000;
  await query(green, 'drop subscription everything');
  await query(blue, 'drop publication everything');
  const note =
    `${ledger.acknowledged.length} writes meanwhile; the stop, the wait and the sequences by ` +
    'a script; nothing compared, no way back';
  return { rows: await countRows(green), seconds, stopSeconds, note };
}

function libpqString(url: string): string {
  const { username, password, port, pathname, searchParams } = new URL(url);
  const host = searchParams.get('host') ?? 'localhost';
  return `host=${host} port=${port} user=${username} password=${password} dbname=${pathname.slice(1)}`;
}

async function untilTrue(url: string, sql: string, everyMs: number): Promise<void> {
  const endMs = performance.now() + 600_000;
  for (;;) {
    const [row] = await query(url, sql);
    if (row?.done === true) return;
    if (performance.now() > endMs) throw new Error(`it never became true: ${sql}`);
    await sleep(everyMs);
  }
}
