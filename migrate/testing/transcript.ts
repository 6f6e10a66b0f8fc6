/** A command of a transcript in Markdown, or something that the replay has to do. */
export type Step =
  | {
      readonly does: 'run';
      readonly command: string;
      /** Ended by `&`: it goes on until a later command stops it. */
      readonly background: boolean;
      readonly printed: readonly string[];
      /** Where its lines stand in the text. */
      readonly from: number;
      readonly to: number;
    }
  | { readonly does: 'prepare'; readonly what: string };

/**
 * Reads the `console` blocks of a text: a line `$ command`, then what it printed. What a replay has
 * to do in between, and nobody has to read, stands in a comment `replay: what`.
 */
export function readTranscript(markdown: string): readonly Step[] {
  const lines = markdown.split('\n');
  const steps: Step[] = [];
  let inside = false;
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    const prepare = /^<!-- replay: (.*) -->$/.exec(line)?.[1];
    if (prepare !== undefined) steps.push({ does: 'prepare', what: prepare });
    if (line.startsWith('```')) inside = line === '```console';
    const command = inside ? /^\$ (.*)$/.exec(line)?.[1] : undefined;
    if (command === undefined) continue;
    let to = at + 1;
    while (to < lines.length && !/^(\$ |```)/.test(lines[to] ?? '')) to += 1;
    const background = command.endsWith(' &');
    const printed = lines.slice(at + 1, to);
    steps.push({ does: 'run', command, background, printed, from: at + 1, to });
  }
  return steps;
}

const progress = /^cutting |\brows \(\d+ %\)|, lag \d+ ms$|^repair, |^attempt \d+:/;

/** What a command printed, without the lines that only say how far it is. */
export function lastingLines(output: string): readonly string[] {
  return output
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '' && !progress.test(line));
}

/** The same for two runs of which only figures, times and ids differ. */
export function withoutFigures(line: string): string {
  return line
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UUID')
    .replace(/-?\d+(\.\d+)?/g, 'N')
    .replace(/\s+/g, ' ');
}
