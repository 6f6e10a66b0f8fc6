// `npm run migrate:chaos`: migrations in which one thing goes wrong, one seed each, with a report.

import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { debianPostgresPath } from '../../tools/debian-postgres.mjs';
import { type Kind, kinds, planOf } from './plan.ts';
import { reportOf, rowOf, tableHead } from './report.ts';
import { type Outcome, runRound } from './round.ts';
import { openWorld } from './world.ts';

const help = `npm run migrate:chaos -- [options]

Runs whole migrations between two PostgreSQL servers under load, and breaks one thing in each: the
tool, the application, a server, a connection, a disk, a clock, a row. A seed decides what, in which
phase and at which statement; afterwards ledger, hashes and invariants must agree.

  --seeds N        how many; default 100
  --from N         the first seed; default 1
  --seed N         this one alone
  --only KIND      only: ${kinds.join(', ')}
  --jobs N         so many at a time, each with two servers of its own; default 1, at most 4
  --freeze-ms MS   how long a stopped tool sleeps; default 60000
  --hold-ms MS     how long a switch may hold writes; default 2000
  --customers N    rows of the bank are eleven times that; default 500
  --report FILE    also writes the report there, as Markdown
  --help

Example: npm run migrate:chaos -- --seed 17
Exit code 0: every seed is sound.`;

const jobsMax = 4;

process.exit(await main());

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '100' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      jobs: { type: 'string', default: '1' },
      only: { type: 'string' },
      'freeze-ms': { type: 'string', default: '60000' },
      'hold-ms': { type: 'string', default: '2000' },
      customers: { type: 'string', default: '500' },
      report: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const say = (line: string) => process.stdout.write(`${line}\n`);
  if (values.help === true) {
    say(help);
    return 0;
  }
  const only = kinds.find((kind): kind is Kind => kind === values.only);
  if (values.only !== undefined && only === undefined) {
    say(`--only takes one of: ${kinds.join(', ')}`);
    return 2;
  }
  const numbers = [values.from, values.seeds, values.jobs, values['freeze-ms'], values['hold-ms']];
  if (![...numbers, values.customers, values.seed ?? '1'].every((text) => /^\d{1,9}$/.test(text))) {
    say('Numbers are whole ones; --help lists what there is.');
    return 2;
  }
  const first = Number(values.seed ?? values.from);
  const count = values.seed === undefined ? Number(values.seeds) : 1;
  const seeds = Array.from({ length: count }, (_, at) => first + at);
  // After the round: a server that is killed and a mounted disk are not left behind.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => seeds.splice(0));
  say(tableHead);
  const outcomes: Outcome[] = [];
  const work = async () => {
    const world = await openWorld({
      customers: Number(values.customers),
      installation: debianPostgresPath() || undefined,
      withDisk: true,
    });
    const options = { freezeMs: Number(values['freeze-ms']), holdMs: Number(values['hold-ms']) };
    try {
      for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
        const plan = planOf(seed, only);
        if (plan.kind === 'disk-full' && world.disk === undefined) {
          say(`SKIPPED seed ${seed}: disk-full needs a file system of its own, which takes root`);
          continue;
        }
        const outcome = await runRound(world, plan, options);
        outcomes.push(outcome);
        const why = outcome.violations.length > 0 ? outcome.timeline : [];
        say([rowOf(outcome), ...why.map((line) => `    ${line}`)].join('\n'));
      }
    } finally {
      await world.close();
    }
  };
  const jobs = Math.min(jobsMax, Math.max(1, Number(values.jobs)));
  await Promise.all(Array.from({ length: jobs }, work));
  outcomes.sort((one, other) => one.plan.seed - other.plan.seed);
  say(reportOf(outcomes));
  if (values.report !== undefined) {
    const rows = [tableHead, ...outcomes.map(rowOf), '', reportOf(outcomes), ''];
    await writeFile(values.report, rows.join('\n'));
  }
  return outcomes.every(({ violations }) => violations.length === 0) ? 0 : 1;
}
