import { parseArgs } from 'node:util';
import { type ModeName, modeNames, modes } from './modes.ts';
import type { Plan } from './run.ts';

/** What a command line asks for. */
export type Asked =
  | { readonly command: 'help' }
  | { readonly command: 'wrong'; readonly sentence: string }
  | { readonly command: 'report'; readonly file: string | undefined }
  | { readonly command: 'compare'; readonly before: string; readonly after: string }
  | { readonly command: 'control'; readonly seconds: number; readonly rows: number }
  | { readonly command: 'profile' | 'floor'; readonly plan: Plan }
  | {
      readonly command: 'run';
      readonly plan: Plan;
      readonly processes: readonly number[];
      readonly peer: boolean;
      readonly json: boolean;
      readonly save: boolean;
      readonly output: string | undefined;
      /** Whether goals decide the exit code. */
      readonly judged: boolean;
    };

const processesMax = 64;

export const usage = `npm run bench -- [options]      measures, and judges against the goals
                                about 25 minutes with everything; --processes 1 --rounds 1: 5
npm run bench -- report [file]  writes table and plots into docs/ (absent: the newest result)
npm run bench -- control        drops an index of the hot path and shows that it is seen
npm run bench -- floor          a login beside the least that its requests and rows can cost

  --modes a,b        of: ${modeNames.join(', ')}
  --processes 1,2    numbers of Gatehouse processes (default 1,2,4,8); 32 requests in flight each
  --secs N           length of a slice (default 5)
  --rounds N         slices of each mode at each server, in turn (default 3)
  --warm X           times the usual warm-up (default 1)
  --no-peer          without oidc-provider
  --quick            without what PostgreSQL writes per operation and latencies at half load
  --smoke            every mode for a third of a second: is every answer right? Judges nothing
  --json             the result on stdout; progress goes to stderr
  --output FILE      where to write it (default: bench/results/<date>.json)
  --compare A B      sets two result files side by side
  --profile          the functions that cost most, by mode; one process, no peer
  --rows N           rows of the control's table (default 100000)

Modes:
${modes.map(({ name, about }) => `  ${name.padEnd(15)}${about}`).join('\n')}

Example: npm run bench -- --modes login,refresh --processes 1 --no-peer --rounds 5

Exit code: 0 all goals are met, 1 one is missed, 2 a wrong answer or a failed run.`;

/** Understands the arguments of `npm run bench`. Never throws. */
export function understand(argv: readonly string[]): Asked {
  try {
    return understood(argv);
  } catch (error) {
    return { command: 'wrong', sentence: error instanceof Error ? error.message : String(error) };
  }
}

function understood(argv: readonly string[]): Asked {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    allowNegative: true,
    options: {
      modes: { type: 'string' },
      processes: { type: 'string' },
      secs: { type: 'string' },
      rounds: { type: 'string' },
      warm: { type: 'string' },
      rows: { type: 'string' },
      peer: { type: 'boolean' },
      quick: { type: 'boolean' },
      smoke: { type: 'boolean' },
      json: { type: 'boolean' },
      output: { type: 'string' },
      compare: { type: 'string' },
      profile: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) return { command: 'help' };
  const [word, ...more] = positionals;
  if (values.compare !== undefined) {
    if (word === undefined || more.length > 0) throw new Error('--compare needs two files');
    return { command: 'compare', before: values.compare, after: word };
  }
  const smoke = values.smoke === true;
  const seconds = number(values.secs, 'secs', smoke ? 0.3 : 5);
  if (word === 'report') return { command: 'report', file: more[0] };
  if (word === 'control') {
    return { command: 'control', seconds, rows: number(values.rows, 'rows', 100_000) };
  }
  if (word !== undefined && word !== 'floor') {
    throw new Error(`"${word}" is neither "report", "control" nor "floor"`);
  }
  const plan: Plan = {
    modes: modesOf(values.modes),
    seconds,
    rounds: number(values.rounds, 'rounds', smoke ? 1 : 3),
    warm: number(values.warm, 'warm', smoke ? 0.01 : 1),
    thorough: values.quick !== true && !smoke,
  };
  if (word === 'floor') return { command: 'floor', plan };
  if (values.profile === true) return { command: 'profile', plan };
  return {
    command: 'run',
    plan,
    processes: processesOf(values.processes ?? (smoke ? '1' : '1,2,4,8')),
    peer: values.peer ?? true,
    json: values.json === true,
    save: !smoke || values.output !== undefined,
    output: values.output,
    judged: !smoke,
  };
}

function modesOf(text: string | undefined): readonly ModeName[] {
  if (text === undefined) return modeNames;
  return text.split(',').map((name) => {
    const found = modeNames.find((one) => one === name);
    if (found === undefined) throw new Error(`"${name}" is no mode: ${modeNames.join(', ')}`);
    return found;
  });
}

function processesOf(text: string): readonly number[] {
  return text.split(',').map((part) => {
    const count = Number(part);
    if (!Number.isInteger(count) || count < 1 || count > processesMax) {
      throw new Error(`--processes are whole numbers from 1 to ${processesMax}, not "${part}"`);
    }
    return count;
  });
}

function number(text: string | undefined, name: string, usual: number): number {
  if (text === undefined) return usual;
  const given = Number(text);
  if (!(given > 0)) throw new Error(`--${name} is a number above 0, not "${text}"`);
  return given;
}
