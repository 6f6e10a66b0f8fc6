import type { Command, Option } from './command.ts';

/** How commands are called in help and messages. */
export const program = 'node cli/main.ts';

/** The list of commands, or of those of one group. */
export function overview(commands: readonly Command[], group?: string): string {
  const shown = commands.filter(({ name }) => group === undefined || name.startsWith(`${group} `));
  const lines = shown.map((command) => [usage(command), command.summary] as const);
  return [
    'Gatehouse: OAuth 2.1 and OpenID Connect for your own API.',
    '',
    `Usage: ${program} <command> [options]   (or: npm run gatehouse -- <command> ...)`,
    '',
    ...columns(lines),
    '',
    `${program} help <command> explains one, with an example. Settings come from the`,
    'environment and from the file that GATEHOUSE_CONFIG names: docs/configuration.md.',
    'Exit codes: 0 done, 1 failed (a sentence says why), 2 the command line is wrong.',
  ].join('\n');
}

/** What one command does, takes and answers. */
export function explanation(command: Command): string {
  const operands = (command.operands ?? []).map(({ name, about }) => [`<${name}>`, about] as const);
  const options = Object.entries(command.options ?? {}).map(
    ([name, option]) => [written(name, option), option.about] as const,
  );
  return [
    command.summary,
    '',
    `Usage: ${program} ${usage(command)}`,
    ...paragraphs(command.details ?? []),
    ...(operands.length === 0 ? [] : ['', ...columns(operands)]),
    '',
    'Options:',
    ...columns([...options, ['--help', 'Shows this text.']]),
    '',
    'Example:',
    ...command.example.map((line) => `  ${line}`),
  ].join('\n');
}

function usage(command: Command): string {
  const operands = (command.operands ?? []).map(({ name }) => ` <${name}>`).join('');
  const options = Object.keys(command.options ?? {}).length > 0 ? ' [options]' : '';
  return `${command.name}${operands}${options}`;
}

function written(name: string, option: Option): string {
  const value = option.type === 'string' ? ` ${option.value ?? 'VALUE'}` : '';
  return `--${name}${value}${option.multiple ? ' ...' : ''}`;
}

function paragraphs(details: readonly string[]): readonly string[] {
  return details.flatMap((text) => ['', ...wrapped(text, 96)]);
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(0, ...rows.map(([left]) => left.length)) + 2;
  return rows.flatMap(([left, right]) => {
    const [first = '', ...rest] = wrapped(right, Math.max(40, 94 - width));
    const indent = ' '.repeat(width + 2);
    return [`  ${left.padEnd(width)}${first}`, ...rest.map((line) => `${indent}${line}`)];
  });
}

function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** Rows as a table for people: a heading, then columns as wide as their widest cell. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [heading, ...rows].map((row) => row.map(shown));
  const widths = heading.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)));
  return cells
    .map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Names come from outside: what could drive a terminal or forge a line is not shown. */
export function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?');
}
