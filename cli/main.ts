import { version } from '#server/version.ts';
import { understand } from './arguments.ts';
import type { Terminal } from './command.ts';
import { commands } from './commands.ts';
import { sentencesOf, withoutRows } from './failure.ts';
import { explanation, overview, program } from './help.ts';

const terminal: Terminal = {
  out: (line) => process.stdout.write(`${line}\n`),
  error: (line) => process.stderr.write(`${line}\n`),
};
// Whoever read our output is gone (a closed terminal, `| head`): that is no reason to fail.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

process.exit(await main(process.argv.slice(2)));

async function main(argv: readonly string[]): Promise<number> {
  const asked = understand(argv, commands);
  if (asked.asks === 'version') {
    terminal.out(version);
    return 0;
  }
  if (asked.asks === 'help') {
    const { command, group } = asked;
    terminal.out(command === undefined ? overview(commands, group) : explanation(command));
    return 0;
  }
  if (asked.asks === 'nothing') {
    terminal.error(asked.sentence);
    terminal.error(`${program} help lists all commands.`);
    return 2;
  }
  try {
    return await asked.command.run(asked.input, terminal);
  } catch (error) {
    const sentences = sentencesOf(error);
    if (sentences === undefined) throw withoutRows(error);
    for (const sentence of sentences) terminal.error(sentence);
    return 1;
  }
}
