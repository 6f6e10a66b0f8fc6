// A process that migrates and can be killed at a chosen query: `node migrate-once.ts` with a JSON
// argument. Tests start it, and it dies by SIGKILL as a real one does.
import { parseArgs } from 'node:util';
import pg from 'pg';
import { readMigrations } from '../migration.ts';
import { up } from '../runner.ts';

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    directory: { type: 'string' },
    /** Before this query of the runner is sent, counted from 1; 0: never. */
    'kill-before': { type: 'string', default: '0' },
    /** When this query was sent and its answer did not come yet. */
    'kill-within': { type: 'string', default: '0' },
  },
});

const before = Number(values['kill-before']);
const within = Number(values['kill-within']);
const sent = { count: 0 };
const send = pg.Connection.prototype.query;
const prepare = pg.Connection.prototype.parse;

function counted<Args extends unknown[]>(work: (...args: Args) => void) {
  return function (this: pg.Connection, ...args: Args): void {
    sent.count += 1;
    if (sent.count === before) process.kill(process.pid, 'SIGKILL');
    work.apply(this, args);
    // The packet is handed to the kernel first: PostgreSQL works on it while we die.
    if (sent.count === within) setImmediate(() => process.kill(process.pid, 'SIGKILL'));
  };
}

pg.Connection.prototype.query = counted(send);
pg.Connection.prototype.parse = counted(prepare);

await up({
  url: values.url ?? '',
  migrations: await readMigrations(values.directory ?? ''),
  applicationName: 'migrate-once',
  lockKey: 71,
  limits: { backoffMsMin: 20, backoffMsMax: 200, batchRest: 0 },
  tell: ({ sentence }) => process.stdout.write(`${sentence}\n`),
});
process.stdout.write(`queries ${sent.count}\n`);
