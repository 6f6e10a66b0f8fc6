// docs/migrate/commands/*.md, a page per command of migrate; with `--check` it only compares.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { generalOptions } from '#migrate/blue-green/arguments.ts';
import type { Command, Option } from '#migrate/blue-green/command.ts';
import { commands } from '#migrate/blue-green/commands.ts';
import { phasesOf } from '#migrate/blue-green/state.ts';
import { readTranscript } from '#migrate/testing/transcript.ts';

const directory = new URL('../docs/migrate/commands/', import.meta.url);

const runbook = new URL('../docs/migrate/runbook.md', import.meta.url);
const transcript = readTranscript(readFileSync(runbook, 'utf8'));

/** What the runbook's replay printed for a command, where it stands first. */
function printed(name: string): readonly string[] {
  const step = transcript.find(
    (candidate) => candidate.does === 'run' && candidate.command.split(' ')[1] === name,
  );
  if (step?.does !== 'run') throw new Error(`the runbook has no line with "M ${name}"`);
  const command = step.command.replace(/^M (\S+)/, 'migrate $1 --mapping shop.mapping.ts');
  return [
    'What it printed here, in the [runbook](../runbook.md):',
    '',
    '```console',
    `$ ${command}`,
    ...step.printed,
    '```',
    '',
  ];
}

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
    ...printed(command.name),
    '| option | |',
    '| --- | --- |',
    ...rows(command.options),
    ...rows(generalOptions),
    '',
    '[The phases](../README.md)',
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
