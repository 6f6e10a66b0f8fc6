// `npm run migrate:example -- --rows 5000000`: the bank moves to another PostgreSQL and back while
// it is in use; docs/migrate/example.md says what is printed.
import { parseArgs } from 'node:util';
import { debianPostgresPath } from '../../tools/debian-postgres.mjs';
import { startServers } from './servers.ts';
import { largeMapping, runWhole, smallMapping } from './whole.ts';

const usage = `Usage: npm run migrate:example -- [options]

  --rows N        Rows of green; default 100000. 5000000 takes about 20 minutes.
  --rate N        Operations per second of the driver, half of them writes; default 500.
  --switches N    Switches and rollbacks, alternating; default 10. One more where it is even, so that
                  green is live at the end.
  --minutes N     New writes after the first switch, before the rollback; default 1.
  --settle N      Seconds between switches; a p99 is taken over as many; default 15.
  --workers N     Of the copy and of verify; default 4.
  --within        Both servers of the version that npm brings, also where there is a PostgreSQL 15.

Example:
  $ npm run migrate:example -- --rows 5000000 --rate 800 --minutes 10
Exit codes: 0 nothing was lost and nothing failed, 1 otherwise.
`;

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    rate: { type: 'string', default: '500' },
    switches: { type: 'string', default: '10' },
    minutes: { type: 'string', default: '1' },
    settle: { type: 'string', default: '15' },
    workers: { type: 'string', default: '4' },
    within: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
process.exit(await main());

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const [rows = 0, rate = 0, switches = 0, minutes = 0, settleSeconds = 0, workers = 0] = [
    values.rows,
    values.rate,
    values.switches,
    values.minutes,
    values.settle,
    values.workers,
  ].map(Number);
  const counts = [rows, rate, switches, settleSeconds, workers];
  if (!counts.every((count) => Number.isInteger(count) && count > 0) || !(minutes >= 0)) {
    process.stderr.write(usage);
    return 2;
  }
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const older = values.within ? undefined : debianPostgresPath() || undefined;
  const servers = await startServers(older, true);
  try {
    say(`blue PostgreSQL ${servers.versions.blue}, green PostgreSQL ${servers.versions.green}`);
    const verdict = await runWhole(servers, {
      rows,
      rate,
      switches,
      newWritesSeconds: minutes * 60,
      settleSeconds,
      workers,
      waitMs: 2_000,
      mapping: rows > 200_000 ? largeMapping : smallMapping,
      say,
    });
    for (const line of verdict.lines) say(line);
    for (const fault of verdict.faults) say(`FAULT: ${fault}`);
    return verdict.faults.length === 0 ? 0 : 1;
  } finally {
    await servers.close();
  }
}
