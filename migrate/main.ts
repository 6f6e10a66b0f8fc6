import { explanation, overview, understand } from './blue-green/arguments.ts';
import { commands } from './blue-green/commands.ts';
import { Failure, sentenceOf, sqlStateOf } from './blue-green/failure.ts';
import { runCommand } from './blue-green/run.ts';
import { openReport, type Screen } from './blue-green/screen.ts';

/** `npm run` passes on what the terminal has sent already, so one Ctrl-C may come twice at once. */
const againAfterMs = 500;
const sayAfterMs = 1_000;

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
    const said = { ok: false, error: asked.sentence };
    if (argv.includes('--json')) process.stdout.write(`${JSON.stringify(said)}\n`);
    else process.stderr.write(`${asked.sentence}\n`);
    return 2;
  }
  const { command, input } = asked;
  const asJson = input.flag('json');
  const report = openReport(
    {
      write: (text) => process.stdout.write(text),
      isTerminal: process.stdout.isTTY === true,
      columns: () => process.stdout.columns ?? 80,
      nowMs: () => performance.now(),
    },
    asJson,
  );
  const stop = endOnSignals(report);
  const places = { blue: process.env.MIGRATE_BLUE_URL, green: process.env.MIGRATE_GREEN_URL };
  try {
    const answer = await runCommand(command, input, places, report, stop.signal);
    if (asJson) process.stdout.write(`${JSON.stringify({ ok: true, ...answer })}\n`);
    return 0;
  } catch (error) {
    report.end();
    const expected = error instanceof Failure || sqlStateOf(error) !== '';
    if (asJson) {
      const found = error instanceof Failure ? error.found : {};
      const said = { ok: false, error: sentenceOf(error), ...found };
      process.stdout.write(`${JSON.stringify(said)}\n`);
    } else if (expected) {
      process.stderr.write(`${sentenceOf(error)}\n`);
    } else {
      throw error;
    }
    return 1;
  }
}

/** The first signal asks the command to end, which it does where it may; the next one ends it there. */
function endOnSignals(report: Screen): AbortController {
  const stop = new AbortController();
  let askedMs: number | undefined;
  const ask = () => {
    const nowMs = performance.now();
    if (askedMs !== undefined && nowMs - askedMs > againAfterMs) process.exit(130);
    if (askedMs !== undefined) return;
    askedMs = nowMs;
    stop.abort(new Failure('Stopped; the same command goes on.'));
    setTimeout(() => {
      report.end();
      process.stderr.write(
        'It ends after the statement that is under way. Ctrl-C again ends it at once, which loses ' +
          'nothing: the next command goes on from there.\n',
      );
    }, sayAfterMs).unref();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, ask);
  return stop;
}
