import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { corrupt } from './corruption.ts';
import { fillBank, query } from './databases.ts';
import { type Servers, startServers } from './servers.ts';
import { lastingLines, readTranscript, type Step } from './transcript.ts';
import { startWriters } from './writers.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** The text that is replayed. */
export const runbookFile = join(root, 'docs/migrate/runbook.md');

/** A text, and what each of its commands printed when it was run again. */
export interface Replay {
  readonly text: string;
  readonly printed: ReadonlyMap<Step, string>;
}

/** Runs the runbook line by line, from the PostgreSQL of `installation` to that of npm, under writes. */
export async function replayRunbook(installation: string): Promise<Replay> {
  const servers = await startServers(installation, true);
  const directory = await mkdtemp(join(tmpdir(), 'migrate-runbook-'));
  try {
    await fillBank(servers, 1_000);
    await writeFile(join(directory, 'pw'), 'report\n', { mode: 0o600 });
    for (const side of ['blue', 'green'] as const) {
      await query(
        servers[side],
        `create role shop superuser login password 'shop';
         create role report login password 'report'`,
      );
    }
    return await replay(servers, directory);
  } finally {
    await servers.close();
    await rm(directory, { recursive: true });
  }
}

/** As an application server and a DBA reach it: over TCP, each with a role of its own. */
function overTcp(url: string): string {
  const { port, pathname } = new URL(url);
  return `postgres://shop:shop@127.0.0.1:${port}${pathname}`;
}

async function replay(servers: Servers, directory: string): Promise<Replay> {
  const text = await readFile(runbookFile, 'utf8');
  const urls = { blue: overTcp(servers.blue), green: overTcp(servers.green) };
  const ports = { blue: new URL(urls.blue).port, green: new URL(urls.green).port };
  let writers: ReturnType<typeof startWriters> | undefined = startWriters(urls, 2, 20);
  const env = {
    PATH: '/usr/bin:/bin',
    MIGRATE_BLUE_URL: urls.blue,
    MIGRATE_GREEN_URL: urls.green,
  };
  const mapping = join(root, 'migrate/example/bank.mapping.ts');
  const define = `M() { command=$1; shift; "${process.execPath}" "${join(root, 'migrate/main.ts')}" \
    "$command" --mapping "${mapping}" "$@"; }; exec 2>&1; `;
  const script = (command: string) =>
    define +
    command
      .replace(/ &$/, '')
      .replace('--host db2 --port 5432', `--host 127.0.0.1 --port ${ports.green}`);
  const asWritten = (output: string) =>
    output
      .replaceAll(`127.0.0.1:${ports.blue}`, 'db1:5432')
      .replaceAll(`127.0.0.1:${ports.green}`, 'db2:5432')
      .replaceAll('127.0.0.1', '10.0.0.7');

  const prepare = async (what: string) => {
    if (what === 'move the applications') {
      await writers?.stop();
      writers = undefined;
    } else if (what === 'damage three rows') {
      await corrupt(
        { ...servers },
        'green',
        "update person set family_name = '' where id in (7, 8, 9)",
      );
    } else if (what === 'begin anew') {
      await query(servers.green, 'truncate person, wallet, wallet_state, movement');
    } else throw new Error(`the replay does not know "${what}"`);
  };
  const background: { step: Step; ended: Promise<string> }[] = [];
  const printed = new Map<Step, string>();
  for (const step of readTranscript(text)) {
    if (step.does === 'prepare') {
      await prepare(step.what);
    } else if (step.background) {
      background.push({ step, ended: outputOf(script(step.command), env, directory) });
      await new Promise((resolve) => setTimeout(resolve, 3_000));
    } else {
      printed.set(step, asWritten(await outputOf(script(step.command), env, directory)));
      if (step.command !== 'M stop') continue;
      for (const { step: earlier, ended } of background.splice(0)) {
        printed.set(earlier, asWritten(await ended));
      }
    }
  }
  await writers?.stop();
  return { text, printed };
}

/** The text with what was printed this time. */
export function rewritten({ text, printed }: Replay): string {
  const lines: (string | undefined)[] = text.split('\n');
  for (const [step, output] of printed) {
    if (step.does !== 'run') continue;
    lines.fill(undefined, step.from, step.to);
    lines[step.from - 1] = [`$ ${step.command}`, ...lastingLines(output)].join('\n');
  }
  return lines.filter((line) => line !== undefined).join('\n');
}

async function outputOf(script: string, env: NodeJS.ProcessEnv, cwd: string): Promise<string> {
  const child = spawn('bash', ['-c', script], { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await once(child, 'close');
  return output;
}
