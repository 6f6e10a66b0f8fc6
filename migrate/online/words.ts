import type { Finding } from './lint.ts';
import { labelOf } from './migration.ts';

/** `0009_labels (expand), down, line 7` */
export function placeOf({
  migration,
  direction,
  line,
}: Pick<Finding, 'migration' | 'direction' | 'line'>): string {
  return `${labelOf(migration)}${direction === 'down' ? ', down' : ''}, line ${line}`;
}

/** A finding as a line for people: where, what, what instead. */
export function findingLine(finding: Finding): string {
  const { rule, sentence, instead, excuse } = finding;
  const end = excuse === undefined ? `Instead: ${instead}.` : `Allowed because ${excuse}.`;
  return `${placeOf(finding)}: [${rule}] ${sentence} ${end}`;
}
