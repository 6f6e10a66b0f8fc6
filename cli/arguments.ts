import { type ParseArgsConfig, parseArgs } from 'node:util';
import { nearest } from '#server/config/names.ts';
import type { Command, Input, Option } from './command.ts';

/** What a command line asks for. */
export type Asked =
  | { readonly asks: 'run'; readonly command: Command; readonly input: Input }
  | { readonly asks: 'help'; readonly command?: Command; readonly group?: string }
  | { readonly asks: 'version' }
  /** The command line makes no sense; a sentence says why. */
  | { readonly asks: 'nothing'; readonly sentence: string };

/** Understands a command line (without `node` and the script). Never throws. */
export function understand(argv: readonly string[], commands: readonly Command[]): Asked {
  const [first, second] = argv;
  if (first === undefined) return { asks: 'help' };
  if (first === '--version' || first === '-v') return { asks: 'version' };
  if (first === '--help' || first === '-h') return { asks: 'help' };
  if (first.startsWith('-')) return wrong(`${first} belongs behind a command: "serve --help".`);
  if (first === 'help') return helpOn(argv.slice(1), commands);
  const found = commands.find(({ name }) => name === first || name === `${first} ${second}`);
  if (found === undefined) return unknownCommand(argv, commands);
  return given(found, argv.slice(found.name.split(' ').length));
}

function helpOn(words: readonly string[], commands: readonly Command[]): Asked {
  const name = words.filter((word) => !word.startsWith('-')).join(' ');
  if (name === '') return { asks: 'help' };
  const command = commands.find((candidate) => candidate.name === name);
  if (command !== undefined) return { asks: 'help', command };
  if (isGroup(name, commands)) return { asks: 'help', group: name };
  return unknownCommand(words, commands);
}

function unknownCommand(argv: readonly string[], commands: readonly Command[]): Asked {
  const words = argv.filter((word) => !word.startsWith('-'));
  const [group = '', word] = words;
  if (isGroup(group, commands)) {
    const names = commands.filter(({ name }) => name.startsWith(`${group} `));
    if (word === undefined) {
      const asksHelp = argv.some((candidate) => candidate === '--help' || candidate === '-h');
      if (asksHelp) return { asks: 'help', group };
      const list = names.map(({ name }) => name.slice(group.length + 1)).join(', ');
      return wrong(`"${group}" needs a word more: ${list}.`);
    }
    return wrong(unknown(`"${group} ${word}" is not a command`, `${group} ${word}`, names));
  }
  const written = word === undefined ? group : `${group} ${word}`;
  const groups = commands.map(({ name }) => ({ name: name.split(' ')[0] ?? name }));
  const whole = nearest(written, namesOf(commands));
  if (whole !== undefined) return wrong(`"${written}" is not a command; did you mean "${whole}"?`);
  return wrong(unknown(`"${group}" is not a command`, group, groups));
}

function unknown(sentence: string, written: string, known: readonly { name: string }[]): string {
  const meant = nearest(written, namesOf(known));
  return meant === undefined
    ? `${sentence}; "help" lists them all.`
    : `${sentence}; did you mean "${meant}"?`;
}

function namesOf(commands: readonly { readonly name: string }[]): readonly string[] {
  return commands.map(({ name }) => name);
}

/** True for the first word of commands that have two. */
function isGroup(word: string, commands: readonly Command[]): boolean {
  return commands.some(({ name }) => name.startsWith(`${word} `));
}

/** Every command takes it. */
const helpOption: Option = { type: 'boolean', about: 'Shows this text.' };

function given(command: Command, args: readonly string[]): Asked {
  const options: Readonly<Record<string, Option>> = { ...command.options, help: helpOption };
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(Object.entries(options).map(([name, o]) => [name, kindOf(o)])),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  if (values.help === true) return { asks: 'help', command };
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (option === undefined) return wrong(unknownOption(token.rawName, options, command));
    if (option.type === 'boolean' && token.value !== undefined) {
      return wrong(`${token.rawName} takes no value.`);
    }
    // `--workers --json`: the value was forgotten, and the next option would be taken for it.
    const forgotten = token.value === undefined || (!token.inlineValue && token.value[0] === '-');
    if (option.type === 'string' && forgotten && token.value !== '-') {
      return wrong(`${token.rawName} needs a value: ${token.rawName} ${option.value ?? 'VALUE'}.`);
    }
  }
  const operands = command.operands ?? [];
  const missing = operands[positionals.length];
  if (missing !== undefined) return wrong(`"${command.name}" needs ${missing.about}.`);
  const extra = positionals[operands.length];
  if (extra !== undefined) return wrong(`"${command.name}" does not take "${extra}".`);
  return { asks: 'run', command, input: inputOf(values, positionals) };
}

function kindOf(option: Option): NonNullable<ParseArgsConfig['options']>[string] {
  return { type: option.type, multiple: option.multiple ?? false };
}

function unknownOption(
  written: string,
  options: Readonly<Record<string, Option>>,
  command: Command,
): string {
  const meant = nearest(
    written,
    Object.keys(options).map((name) => `--${name}`),
  );
  const sentence = `"${command.name}" has no option ${written}`;
  // The id of a key is base64url: one in 64 begins with a dash.
  if (/^-[^-]/.test(written) && command.operands !== undefined) {
    const operands = command.operands.map(({ name }) => ` <${name}>`).join('');
    const instead = `what begins with "-" itself comes behind "--": ${command.name} --${operands}`;
    return `${sentence}; ${instead}`;
  }
  return meant === undefined
    ? `${sentence}; "help ${command.name}" lists what it takes.`
    : `${sentence}; did you mean ${meant}?`;
}

function inputOf(values: Readonly<Record<string, unknown>>, positionals: readonly string[]): Input {
  const texts = (name: string): readonly string[] => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    return [value].flat().filter((entry) => typeof entry === 'string');
  };
  return {
    flag: (name) => values[name] === true,
    text: (name) => texts(name).at(-1),
    texts,
    operand: (index) => positionals[index] ?? '',
  };
}

function wrong(sentence: string): Asked {
  return { asks: 'nothing', sentence };
}
