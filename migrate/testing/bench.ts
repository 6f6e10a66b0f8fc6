// `npm run migrate:bench -- --rows 5000000`: a whole migration with writers, with its rates.

import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { debianPostgresPath } from '../../tools/debian-postgres.mjs';
import { fillBank, migrate as migrateBank, type Pair, query } from './databases.ts';
import { startServers } from './servers.ts';
import { startWritersApart } from './writers-apart.ts';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    switches: { type: 'string', default: '10' },
    writers: { type: 'string', default: '8' },
    workers: { type: 'string', default: '4' },
    within: { type: 'boolean', default: false },
  },
});
// A customer makes 1 customer, half a profile, 4 accounts and 2 transfers: 11 rows of green.
const customers = Math.ceil(Number(values.rows) / 11);
const servers = await startServers(
  values.within ? undefined : debianPostgresPath() || undefined,
  true,
);
const pair = { ...servers };
const mapping = fileURLToPath(new URL('../example/bank-large.mapping.ts', import.meta.url));
const migrate = (on: Pair, ...args: readonly string[]) =>
  migrateBank(on, ...args, '--mapping', mapping);
const say = (line: string) => process.stdout.write(`${line}\n`);

/** Time and CPU of this process for one step; PostgreSQL's own CPU is not in it. */
async function timed<T>(name: string, work: () => Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const cpu = process.cpuUsage();
  const result = await work();
  const used = process.cpuUsage(cpu);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  say(`${name}: ${seconds} s, ${((used.user + used.system) / 1e6).toFixed(1)} s CPU of the tool`);
  return result;
}

try {
  say(`blue PostgreSQL ${servers.versions.blue}, green PostgreSQL ${servers.versions.green}`);
  await timed('fill', () => fillBank(pair, customers));
  await migrate(pair, 'prepare');
  const writers = startWritersApart(pair, Number(values.writers), 4);
  const startedMs = performance.now();
  say((await timed('copy', () => migrate(pair, 'copy', '--workers', values.workers))).trim());
  await timed('follow', () => migrate(pair, 'follow', '--once'));
  const copying = await writers.acknowledged();
  const perSecond = (copying / (performance.now() - startedMs)) * 1000;
  say(`writers meanwhile: ${Math.round(perSecond)} transfers/s of 3 writes each`);
  say((await timed('verify', () => migrate(pair, 'verify', '--workers', values.workers))).trim());
  const held: number[] = [];
  for (let round = 0; round < Number(values.switches); round += 1) {
    const said = await migrate(pair, round % 2 === 0 ? 'switch' : 'rollback', '--no-verify');
    held.push(Number(/held for ([\d.]+) ms/.exec(said)?.[1]));
    say(said.trim().replace(/\n */g, ', ').replace(/ {2,}/g, ' '));
  }
  const ledger = await writers.stop();
  say(`load of the machine meanwhile: ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores`);
  held.sort((one, other) => one - other);
  say(
    `${held.length} switches: writes held ${held[held.length >> 1]} ms (median), ${held.at(-1)} ms (worst)`,
  );
  say(`slowest transfer, with replay on the other side: ${Math.round(ledger.slowestMs)} ms`);
  say(`refused and run again: ${ledger.refused}; both live at once: ${ledger.twoLive}`);
  const live = held.length % 2 === 0 ? 'blue' : 'green';
  const sent =
    live === 'blue'
      ? 'select t.id::text as id from transfer t where t.cents = 100'
      : 'select m.id::text as id from movement m where m.amount = 1';
  const rows = await query(pair[live], sent);
  const there = new Set(rows.map(({ id }) => id));
  const lost = ledger.acknowledged.filter((id) => !there.has(id));
  say(`acknowledged ${ledger.acknowledged.length}, lost ${lost.length}`);
  await migrate(pair, 'watch', '--once').catch(() => '');
  say((await migrate(pair, 'verify', '--workers', values.workers)).trim());
} finally {
  await servers.close();
}
