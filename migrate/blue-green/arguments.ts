import { parseArgs } from 'node:util';
import type { Command, Input, Option } from './command.ts';

/** What every command takes. */
export const generalOptions: Readonly<Record<string, Option>> = {
  mapping: { type: 'string', value: 'FILE', about: 'The mapping: .ts, .js or .json.' },
  blue: {
    type: 'string',
    value: 'URL',
    about: 'The database in use when the migration began; else MIGRATE_BLUE_URL.',
  },
  green: { type: 'string', value: 'URL', about: 'The new database; else MIGRATE_GREEN_URL.' },
  json: { type: 'boolean', about: 'Says nothing but the outcome, as one JSON object.' },
  help: { type: 'boolean', about: 'Shows this text.' },
};

/** What a command line asks for. */
export type Asked =
  | { readonly asks: 'run'; readonly command: Command; readonly input: Input }
  | { readonly asks: 'help'; readonly command?: Command }
  /** It makes no sense; the sentence says why. */
  | { readonly asks: 'nothing'; readonly sentence: string };

/** Understands a command line, without `node` and the script. Never throws. */
export function understand(argv: readonly string[], commands: readonly Command[]): Asked {
  const [first, ...rest] = argv;
  if (first === undefined || first === '--help' || first === '-h') return { asks: 'help' };
  const name = first === 'help' ? rest[0] : first;
  if (name === undefined) return { asks: 'help' };
  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined) {
    const list = commands.map((candidate) => candidate.name).join(', ');
    return { asks: 'nothing', sentence: `"${name}" is not a command; there are ${list}.` };
  }
  if (first === 'help') return { asks: 'help', command };
  const options = { ...generalOptions, ...command.options };
  try {
    const { values } = parseArgs({
      args: [...rest],
      options: Object.fromEntries(
        Object.entries(options).map(([option, { type, multiple }]) => [
          option,
          { type, multiple: multiple ?? false },
        ]),
      ),
      strict: true,
      allowPositionals: false,
    });
    if (values.help === true) return { asks: 'help', command };
    const wrong = wrongOf(values, options);
    if (wrong !== undefined) return { asks: 'nothing', sentence: wrong };
    return { asks: 'run', command, input: inputOf(values) };
  } catch (error) {
    const said = error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error);
    return { asks: 'nothing', sentence: `${said}; "migrate help ${name}" lists what it takes.` };
  }
}

/** What of it is no number, or too small, or missing: said before anything is begun. */
function wrongOf(
  values: Readonly<Record<string, unknown>>,
  options: Readonly<Record<string, Option>>,
): string | undefined {
  for (const [name, { range }] of Object.entries(options)) {
    const given = [values[name]].flat().filter((value) => typeof value === 'string');
    for (const text of range === undefined ? [] : given) {
      const [min, max] = range ?? [0, 0];
      if (/^\d{1,12}$/.test(text) && Number(text) >= min && Number(text) <= max) continue;
      return `--${name} ${text}: write a whole number from ${min} to ${max}.`;
    }
  }
  return values.mapping === undefined ? 'Say --mapping FILE.' : undefined;
}

function inputOf(values: Readonly<Record<string, unknown>>): Input {
  const texts = (name: string) =>
    [values[name]].flat().filter((value): value is string => typeof value === 'string');
  const countIfGiven = (name: string) => {
    const text = texts(name).at(-1);
    return text === undefined ? undefined : Number(text);
  };
  return {
    flag: (name) => values[name] === true,
    text: (name) => texts(name).at(-1),
    texts,
    countIfGiven,
    count: (name, absent) => countIfGiven(name) ?? absent,
  };
}

/** The list of commands. */
export function overview(commands: readonly Command[]): string {
  return [
    'migrate: a new PostgreSQL schema, server or both, while the application writes.',
    '',
    'Usage: npm run migrate -- <command> --mapping FILE [options]',
    '',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}`),
    '',
    '"migrate help <command>" explains one, with an example. docs/migrate/ has a runbook.',
    'Exit codes: 0 done, 1 failed (a sentence says why), 2 the command line is wrong, 130 a second',
    'Ctrl-C ended it in the middle.',
  ].join('\n');
}

/** What one command does, takes and answers. */
export function explanation(command: Command): string {
  const options = Object.entries({ ...command.options, ...generalOptions }).map(
    ([name, { type, value, about }]) => {
      const written = `--${name}${type === 'string' ? ` ${value ?? 'VALUE'}` : ''}`;
      return `  ${written.padEnd(26)}${about}`;
    },
  );
  return [
    command.summary,
    ...command.details.flatMap((text) => ['', text]),
    '',
    'Options:',
    ...options,
    '',
    'Example:',
    ...command.example.map((line) => `  ${line}`),
  ].join('\n');
}
