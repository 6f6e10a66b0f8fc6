// `npm run migrate:corruptions -- --count 200 --seed 1`: does verify find every corruption of a row?

import { parseArgs } from 'node:util';
import { debianPostgresPath } from '../../tools/debian-postgres.mjs';
import { corrupt, corruptOneRow, isListed, makeDice } from './corruption.ts';
import { fillBank, migrate, query } from './databases.ts';
import { startServers } from './servers.ts';
import { startWritersApart } from './writers-apart.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    customers: { type: 'string', default: '5000' },
    repaired: { type: 'string', default: '10000' },
  },
});
const count = Number(values.count);
const half = Number(values.repaired) / 2;
const dice = makeDice(Number(values.seed));
/** Nothing is large here, so sessions would take longer than what they compare. */
const one = ['--workers', '1'];
const say = (line: string) => process.stdout.write(`${line}\n`);
const servers = await startServers(debianPostgresPath() || undefined, false);
/** What a command says, or what it refuses with. */
const attempt = (...args: readonly string[]) =>
  migrate(servers, ...args).then(
    (said) => ({ said, refused: false }),
    (error: unknown) => ({ said: String(error), refused: true }),
  );

try {
  say(`blue PostgreSQL ${servers.versions.blue}, green PostgreSQL ${servers.versions.green}`);
  await fillBank(servers, Number(values.customers));
  await migrate(servers, 'prepare');
  await migrate(servers, 'copy');
  await migrate(servers, 'follow', '--once');
  say((await migrate(servers, 'verify')).trim());
  await findAll();
  await repairUnderLoad();
} finally {
  await servers.close();
}

async function findAll(): Promise<void> {
  const missed: string[] = [];
  let alarms = 0;
  let ms = 0;
  for (let at = 1; at <= count; at += 1) {
    const done = await corruptOneRow(servers, dice);
    const startedMs = performance.now();
    const verified = await attempt('verify', ...one);
    ms += performance.now() - startedMs;
    const found = verified.refused && (await isListed(servers, done));
    const reference = !done.breaksReference || verified.said.includes('1 checks do not hold');
    const switched = await attempt('switch', ...one);
    if (!found || !reference || !switched.refused) {
      missed.push(`${at}: ${done.side} ${done.table} ${done.key}: ${done.done}`);
    }
    await migrate(servers, 'repair', '--side', done.side, '--found');
    if ((await attempt('verify', ...one)).refused) alarms += 1;
    if (at % 20 === 0) say(`${at} corrupted, ${at - missed.length} found`);
  }
  for (const line of missed) say(`missed ${line}`);
  say(
    `seed ${values.seed}: ${count - missed.length} of ${count} corruptions found by verify ` +
      `(${Math.round(ms / count)} ms each) and refused by switch; ` +
      `${alarms} false alarms in ${count} comparisons after the repair`,
  );
  if (missed.length > 0 || alarms > 0) process.exitCode = 1;
}

async function repairUnderLoad(): Promise<void> {
  say((await migrate(servers, 'switch')).trim().split('\n').at(-1) ?? '');
  const writers = startWritersApart(servers, 4, 4);
  await corrupt(servers, 'green', `update person set family_name = 'Lost' where id <= ${half}`);
  await corrupt(
    servers,
    'green',
    `update wallet set currency = 'ZZZ' where id > 400 and id <= ${400 + half}`,
  );
  say((await attempt('verify', ...one)).said.split('\n').at(-1) ?? '');
  const startedMs = performance.now();
  const before = await writers.acknowledged();
  say((await migrate(servers, 'repair', '--side', 'green', '--found')).trim());
  const seconds = (performance.now() - startedMs) / 1000;
  const meanwhile = (await writers.acknowledged()) - before;
  say(`repair: ${seconds.toFixed(1)} s, with ${meanwhile} transfers acknowledged meanwhile`);
  say((await migrate(servers, 'verify', '--all')).trim());
  const ledger = await writers.stop();
  const [left] = await query(
    servers.green,
    `select (select count(*) from person p where p.family_name = 'Lost')
       + (select count(*) from wallet w where w.currency = 'ZZZ') as n`,
  );
  const rows = await query(servers.green, 'select m.id::text as id from movement m');
  const there = new Set(rows.map(({ id }) => id));
  const lost = ledger.acknowledged.filter((id) => !there.has(id)).length;
  say(
    `rows still wrong: ${left?.n}; slowest transfer ${Math.round(ledger.slowestMs)} ms; ` +
      `acknowledged ${ledger.acknowledged.length}, lost ${lost}`,
  );
  if (Number(left?.n) > 0 || lost > 0) process.exitCode = 1;
}
