import type { Outcome } from './round.ts';

/** One seed as a row of the table. */
export function rowOf({ plan, story, violations, judged, ms }: Outcome): string {
  const seconds = (ms / 1000).toFixed(1);
  const what = [...story, ...violations.map((sentence) => `VIOLATION: ${sentence}`)].join('; ');
  const written = judged?.acknowledged ?? 0;
  const cells = [plan.seed, plan.phase, plan.kind, what.replaceAll('|', '/'), written, seconds];
  return `| ${cells.join(' | ')} |`;
}

export const tableHead = [
  '| seed | phase | what | what happened | acknowledged | s |',
  '| --- | --- | --- | --- | --- | --- |',
].join('\n');

/** What all seeds come to. */
export function reportOf(outcomes: readonly Outcome[]): string {
  const sum = (of: (outcome: Outcome) => number) =>
    outcomes.reduce((total, outcome) => total + of(outcome), 0);
  const broken = outcomes.filter(({ violations }) => violations.length > 0);
  return [
    `${outcomes.length} seeds, ${broken.length} with violations` +
      (broken.length > 0 ? `: ${broken.map(({ plan }) => plan.seed).join(', ')}` : ''),
    `${sum(({ hit }) => (hit ? 1 : 0))} injections came at their statement, the others after the end`,
    `${sum(({ judged }) => judged?.acknowledged ?? 0)} acknowledged writes, none lost unless listed`,
    `${sum(({ judged }) => judged?.refused ?? 0)} writes of stragglers refused with MG001`,
    `${sum(({ judged }) => judged?.looks ?? 0)} looks at both databases`,
    `${sum(({ judged }) => judged?.turnedAway ?? 0)} requests answered 503 with Retry-After in an outage`,
    `${sum(({ judged }) => judged?.notJudged ?? 0)} more while the machine stood still, not judged`,
  ].join('\n');
}
