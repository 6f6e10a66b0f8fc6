import { explanation, overview, understand } from './blue-green/arguments.ts';
import { commands } from './blue-green/commands.ts';
import { Failure, sentenceOf, sqlStateOf } from './blue-green/failure.ts';
import { runCommand } from './blue-green/run.ts';
import { openReport } from './blue-green/screen.ts';

// Whoever read our output is gone (a closed terminal, `| head`): that is no reason to fail.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

process.exit(await main(process.argv.slice(2)));

async function main(argv: readonly string[]): Promise<number> {
  const asked = understand(argv, commands);
  if (asked.asks === 'help') {
    const { command } = asked;
    process.stdout.write(`${command === undefined ? overview(commands) : explanation(command)}\n`);
    return 0;
  }
  if (asked.asks === 'nothing') {
    process.stderr.write(`${asked.sentence}\n`);
    return 2;
  }
  const { command, input } = asked;
  const asJson = input.flag('json');
  const report = openReport(
    {
      write: (text) => process.stdout.write(text),
      isTerminal: process.stdout.isTTY === true,
      columns: process.stdout.columns ?? 80,
      nowMs: () => performance.now(),
    },
    asJson,
  );
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => stop.abort(new Failure('Stopped; the same command goes on.')));
  }
  const places = { blue: process.env.MIGRATE_BLUE_URL, green: process.env.MIGRATE_GREEN_URL };
  try {
    const answer = await runCommand(command, input, places, report, stop.signal);
    if (asJson) process.stdout.write(`${JSON.stringify({ ok: true, ...answer })}\n`);
    return 0;
  } catch (error) {
    const expected = error instanceof Failure || sqlStateOf(error) !== '';
    if (asJson) {
      process.stdout.write(`${JSON.stringify({ ok: false, error: sentenceOf(error) })}\n`);
    } else if (expected) {
      process.stderr.write(`${sentenceOf(error)}\n`);
    } else {
      throw error;
    }
    return 1;
  }
}
