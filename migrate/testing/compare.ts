// `npm run migrate:compare -- --rows 1000000`: one copy out of PostgreSQL 15 into 18 by several tools.

import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { debianPostgresPath } from '../../tools/debian-postgres.mjs';
import { type Outcome, others } from './compare-others.ts';
import { fillBank, migrate, query } from './databases.ts';
import { startServers } from './servers.ts';
import { startWritersApart } from './writers-apart.ts';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    writers: { type: 'string', default: '4' },
    workers: { type: 'string', default: '4' },
  },
});
// A customer makes 1 customer, half a profile, 4 accounts and 2 transfers: 7.5 rows of blue.
const customers = Math.ceil(Number(values.rows) / 7.5);
const say = (line: string) => process.stdout.write(`${line}\n`);
const debian = debianPostgresPath();
if (debian === '')
  throw new Error('This compares from PostgreSQL 15: apt-get install postgresql-15');
const servers = await startServers(debian, true, {
  wal_level: 'logical',
  max_sync_workers_per_subscription: values.workers,
});

/** An empty database on green's server, with blue's tables where `tables`. */
async function emptyDatabase(name: string, tables: boolean): Promise<string> {
  await query(servers.green, `create database ${name} template template0`);
  const url = new URL(servers.green);
  url.pathname = `/${name}`;
  const schema = new URL('../example/bank-blue.sql', import.meta.url);
  if (tables) await query(url.href, await readFile(schema, 'utf8'));
  return url.href;
}

const writersOn = (green: string, shape: 'same shape' | 'other shape') =>
  startWritersApart({ blue: servers.blue, green }, Number(values.writers), 4, shape);

async function byMigrate(mappingFile: string, green: string): Promise<Outcome> {
  const pair = { blue: servers.blue, green };
  const mapping = fileURLToPath(new URL(mappingFile, import.meta.url));
  const run = (...args: readonly string[]) => migrate(pair, ...args, '--mapping', mapping);
  const shape = mappingFile.includes('same') ? 'same shape' : 'other shape';
  const writers = writersOn(green, shape);
  const startedMs = performance.now();
  await run('prepare');
  const copied = await run('copy', '--workers', values.workers);
  await run('follow', '--once');
  const seconds = (performance.now() - startedMs) / 1000;
  const rows = Number(/copy: (\d+) rows/.exec(copied)?.[1]);
  const verifiedMs = performance.now();
  await run('verify', '--workers', values.workers);
  const verified = ((performance.now() - verifiedMs) / 1000).toFixed(1);
  const switched = await run('switch');
  const heldMs = Number(/held for ([\d.]+) ms/.exec(switched)?.[1]);
  const ledger = await writers.stop();
  await run('watch', '--once');
  await run('finish', '--anyway');
  const [row] = await query(
    green,
    `select count(*)::int as n from ${shape === 'same shape' ? 'transfer' : 'movement'} t
     where t.id = any($1::uuid[])`,
    [ledger.acknowledged],
  );
  const lost = ledger.acknowledged.length - Number(row?.n);
  return {
    rows,
    seconds,
    stopSeconds: heldMs / 1000,
    note: `${ledger.acknowledged.length} writes meanwhile, ${lost} lost; every row compared, ${verified} s more`,
  };
}

try {
  const versions = `PostgreSQL ${servers.versions.blue} to ${servers.versions.green}`;
  say(`${versions}, ${cpus().length} cores, ${new Date().toISOString().slice(0, 10)}`);
  await fillBank(servers, customers);
  const table: string[] = [];
  const add = async (name: string, work: () => Promise<Outcome | string>) => {
    const outcome = await work();
    if (typeof outcome === 'string') {
      say(`${name}: left out: ${outcome}`);
      return;
    }
    const { rows, seconds, stopSeconds, note } = outcome;
    const rate = Math.round(rows / seconds);
    const stop = stopSeconds < 1 ? stopSeconds.toFixed(3) : stopSeconds.toFixed(1);
    table.push(
      `| ${name.replace('|', '\\|')} | ${rows} | ${seconds.toFixed(1)} | ${rate} | ${stop} | ${note} |`,
    );
    say(table.at(-1) ?? '');
  };
  const workers = Number(values.workers);
  for (const { name, run } of others) {
    const database = `by_${name.replace(/\W+/g, '_')}`;
    await add(name, async () =>
      run({
        blue: servers.blue,
        green: await emptyDatabase(database, false),
        workers,
        startWriters: (green) => writersOn(green, 'same shape'),
      }),
    );
  }
  await add('migrate, same tables', async () =>
    byMigrate('bank-same.mapping.ts', await emptyDatabase('by_migrate', true)),
  );
  await add('migrate, joined and split', () =>
    byMigrate('../example/bank-large.mapping.ts', servers.green),
  );
  say('');
  say('| by | rows | seconds | rows/s | writes stopped, s | |');
  say('| --- | --- | --- | --- | --- | --- |');
  for (const line of table) say(line);
} finally {
  await servers.close();
}
