// docs/migrate/commands/*.md, a page per command of migrate; with `--check` it only compares.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { generalOptions } from '#migrate/blue-green/arguments.ts';
import type { Command, Option } from '#migrate/blue-green/command.ts';
import { commands } from '#migrate/blue-green/commands.ts';
import { phasesOf } from '#migrate/blue-green/state.ts';

const directory = new URL('../docs/migrate/commands/', import.meta.url);

function page(command: Command): string {
  const begins =
    command.act === undefined
      ? command.exclusive
        ? 'It may begin in any phase.'
        : 'It may run at any time, also beside a command that works.'
      : `It begins in phase ${phasesOf(command.act)
          .map((phase) => `\`${phase}\``)
          .join(', ')}.`;
  return [
    '<!-- Generated from migrate/blue-green/commands.ts by `node tools/migrate-commands.ts`. Do not edit. -->',
    `# migrate ${command.name}`,
    '',
    command.summary,
    '',
    ...command.details.flatMap((text) => [text, '']),
    begins,
    '',
    '```sh',
    ...command.example,
    '```',
    '',
    '| option | |',
    '| --- | --- |',
    ...rows(command.options),
    ...rows(generalOptions),
    '',
    '[The phases and the runbook](../README.md)',
    '',
  ].join('\n');
}

function rows(options: Readonly<Record<string, Option>>): readonly string[] {
  return Object.entries(options).map(([name, { type, value, multiple, about }]) => {
    const written = type === 'string' ? `--${name} ${value ?? 'VALUE'}` : `--${name}`;
    return `| \`${written}\`${multiple ? ' ...' : ''} | ${about} |`;
  });
}

mkdirSync(directory, { recursive: true });
const pages = new Map(commands.map((command) => [`${command.name}.md`, page(command)]));
const check = process.argv.includes('--check');
for (const name of readdirSync(directory)) {
  if (pages.has(name)) continue;
  if (check) process.exitCode = 1;
  else rmSync(new URL(name, directory));
}
for (const [name, text] of pages) {
  const path = new URL(name, directory);
  if (!check) writeFileSync(path, text);
  else if (readFileSync(path, { encoding: 'utf8', flag: 'a+' }) !== text) process.exitCode = 1;
}
