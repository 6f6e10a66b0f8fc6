import { describe, expect, test } from 'vitest';
import { type Asked, understand } from './arguments.ts';
import type { Command } from './command.ts';
import { commands } from './commands.ts';
import { explanation, overview } from './help.ts';

const ask = (line: string): Asked => understand(line === '' ? [] : line.split(' '), commands);

function inputOf(line: string) {
  const asked = ask(line);
  if (asked.asks !== 'run') throw new Error(`not run: ${JSON.stringify(asked)}`);
  return { name: asked.command.name, input: asked.input };
}

describe('a command line that makes sense', () => {
  test.each([
    ['start', 'start'],
    ['serve', 'serve'],
    ['schema up', 'schema up'],
    ['client show my-app', 'client show'],
    ['client show --json my-app', 'client show'],
    ['user create ada@example.com --name Ada', 'user create'],
  ])('%s', (line, name) => {
    expect(inputOf(line).name).toBe(name);
  });

  test('values, flags, lists and operands reach the command', () => {
    const { input } = inputOf(
      'client create --name=A --redirect-uri https://a.example/1 --redirect-uri https://a.example/2 --json',
    );
    expect(input.text('name')).toBe('A');
    expect(input.texts('redirect-uri')).toEqual(['https://a.example/1', 'https://a.example/2']);
    expect(input.flag('json')).toBe(true);
    expect(input.flag('public')).toBe(false);
    expect(input.text('scope')).toBeUndefined();
    expect(inputOf('client show my-app').input.operand(0)).toBe('my-app');
    expect(inputOf('client create --file -').input.text('file')).toBe('-');
    expect(inputOf('key delete -- s -Ab3').input.operand(1)).toBe('-Ab3');
    expect(inputOf('serve --workers 4').input.text('workers')).toBe('4');
  });
});

describe('a command line that asks for help', () => {
  test.each([
    ['', undefined],
    ['help', undefined],
    ['--help', undefined],
    ['-h', undefined],
    ['help serve', 'serve'],
    ['serve --help', 'serve'],
    ['help client create', 'client create'],
    ['client create --help', 'client create'],
    ['client show --help', 'client show'],
    ['client create --nonsense --help', 'client create'],
  ])('"%s"', (line, name) => {
    const asked = ask(line);
    expect(asked.asks).toBe('help');
    expect(asked.asks === 'help' && asked.command?.name).toBe(name);
  });

  test.each(['help client', 'client --help'])('%s explains the group', (line) => {
    expect(ask(line)).toEqual({ asks: 'help', group: 'client' });
  });

  test('--version', () => {
    expect(ask('--version')).toEqual({ asks: 'version' });
  });
});

describe('a command line that is wrong says what is right', () => {
  test.each([
    ['strat', '"strat" is not a command; did you mean "start"?'],
    ['clinet list', '"clinet list" is not a command; did you mean "client list"?'],
    ['client lits', '"client lits" is not a command; did you mean "client list"?'],
    ['client', '"client" needs a word more: list, show, create, rotate-secret, delete.'],
    ['frobnicate', '"frobnicate" is not a command; "help" lists them all.'],
    ['user frobnicate', '"user frobnicate" is not a command; "help" lists them all.'],
    ['help strat', '"strat" is not a command; did you mean "start"?'],
    ['--workers 2', '--workers belongs behind a command: "serve --help".'],
    ['serve --worker 2', '"serve" has no option --worker; did you mean --workers?'],
    ['serve --frobnicate', '"serve" has no option --frobnicate; "help serve" lists what it takes.'],
    ['key delete s -Ab3', 'behind "--": key delete -- <set> <kid>'],
    ['serve --workers', '--workers needs a value: --workers N.'],
    ['serve --workers --pretty', '--workers needs a value: --workers N.'],
    ['serve --pretty=yes', '--pretty takes no value.'],
    ['serve now', '"serve" does not take "now".'],
    ['client show', '"client show" needs the id of a client.'],
    ['client show a b', '"client show" does not take "b".'],
    ['user create ada@example.com --toString', '"user create" has no option --toString'],
  ])('%s', (line, sentence) => {
    const asked = ask(line);
    expect(asked.asks).toBe('nothing');
    expect(asked.asks === 'nothing' && asked.sentence).toContain(sentence);
  });

  test('a password on the command line, which every user of the machine could read, is refused', () => {
    expect(ask('user create ada@example.com --password hunter2').asks).toBe('nothing');
  });
});

describe('help', () => {
  test('the list has every command', () => {
    for (const { name } of commands) expect(overview(commands)).toContain(`  ${name}`);
    expect(overview(commands, 'user')).not.toContain('client list');
  });

  test.each(commands.map((command): [string, Command] => [command.name, command]))(
    '%s: usage, every option, a worked example, lines that fit a terminal',
    (name, command) => {
      const text = explanation(command);
      expect(text).toContain(`Usage: node cli/main.ts ${name}`);
      for (const option of Object.keys(command.options ?? {}))
        expect(text).toContain(`--${option}`);
      expect(command.example.some((line) => line.startsWith('$ '))).toBe(true);
      for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    },
  );

  test('what an example runs is understood', () => {
    const runs = commands.flatMap(({ example }) => example.filter((line) => line.startsWith('$ ')));
    for (const run of runs) {
      const line = /node cli\/main\.ts (.*)$/.exec(run)?.[1];
      if (line === undefined) continue;
      const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(
        ([, quoted, bare]) => quoted ?? bare,
      );
      const asked = understand(
        words.filter((word) => word !== undefined),
        commands,
      );
      expect(asked.asks, run).not.toBe('nothing');
    }
  });
});
