// Asks the bank of main.ts for reads and writes at a steady rate, and keeps a ledger of its own.
//
//   node migrate/example/driver.ts --app URL --rate N --ledger FILE [--seconds S]
//     [--reads 0.5] [--windows FILE] [--attempts 5]
//
// Each transfer that was acknowledged is one line of the ledger: its id, written before anything
// else is done with it. At the end, after --seconds or SIGTERM, one line of JSON on stdout says what
// happened (Summary in load.ts); exit code 0 whatever that was. --windows gets a line of JSON per
// second (Window in load.ts).
import { closeSync, openSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startLoad } from './load.ts';

const usage = `Usage: node migrate/example/driver.ts --app URL --rate N --ledger FILE [options]

  --app URL       Where the bank listens; it may still be starting.
  --rate N        Operations per second, 1 to 5000.
  --ledger FILE   Gets a line per acknowledged transfer, after what is in it.
  --seconds S     How long; without it until SIGTERM.
  --reads SHARE   Share of reads, 0 to 1; default 0.5.
  --windows FILE  Gets a line of JSON per second: counts and latencies.
  --attempts N    How often an operation is tried that was answered 503 or not at all; default 5.

Example:
  $ node migrate/example/driver.ts --app http://127.0.0.1:49152 --rate 200 --ledger ids --seconds 10
  {"seconds":10,"sent":2000,"acknowledged":799,"failed":0,"unavailable":0,...}
`;

const { values } = parseArgs({
  options: {
    app: { type: 'string' },
    rate: { type: 'string', default: '100' },
    ledger: { type: 'string' },
    seconds: { type: 'string' },
    reads: { type: 'string', default: '0.5' },
    windows: { type: 'string' },
    attempts: { type: 'string', default: '5' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const [rate, reads, attempts] = [values.rate, values.reads, values.attempts].map(Number);
const seconds = values.seconds === undefined ? Number.POSITIVE_INFINITY : Number(values.seconds);
const within = (value: number | undefined, min: number, max: number): value is number =>
  value !== undefined && value >= min && value <= max;
if (
  values.app === undefined ||
  values.ledger === undefined ||
  !within(rate, 1, 5_000) ||
  !within(reads, 0, 1) ||
  !within(attempts, 1, 100) ||
  !(seconds > 0)
) {
  process.stderr.write(usage);
  process.exit(2);
}

const ledger = openSync(values.ledger, 'a');
const windows = values.windows === undefined ? undefined : openSync(values.windows, 'a');
const load = await startLoad({
  app: values.app,
  rate,
  reads,
  attemptsMax: attempts,
  acknowledged: (id) => void writeSync(ledger, `${id}\n`),
  window: (window) => {
    if (windows !== undefined) writeSync(windows, `${JSON.stringify(window)}\n`);
  },
});
await new Promise<void>((resolve) => {
  if (Number.isFinite(seconds)) setTimeout(resolve, seconds * 1000);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
});
const summary = await load.stop();
closeSync(ledger);
if (windows !== undefined) closeSync(windows);
process.stdout.write(`${JSON.stringify(summary)}\n`);
process.exit(0);
