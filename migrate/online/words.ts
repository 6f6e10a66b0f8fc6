import type { Finding } from './lint.ts';
import { labelOf } from './migration.ts';

/** A finding as a line for people: where, what, what instead. */
export function findingLine(finding: Finding): string {
  const { migration, direction, line, rule, sentence, instead, excuse } = finding;
  const place = `${labelOf(migration)}${direction === 'down' ? ', down' : ''}, line ${line}`;
  const end = excuse === undefined ? `Instead: ${instead}.` : `Allowed because ${excuse}.`;
  return `${place}: [${rule}] ${sentence} ${end}`;
}
