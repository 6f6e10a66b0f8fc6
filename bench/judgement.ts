import { modeOf } from './modes.ts';
import type { Result, Run } from './results.ts';

/** Whether one thing that was asked for holds. */
export interface Verdict {
  readonly holds: boolean;
  readonly sentence: string;
}

/** CPU per operation may differ so much between numbers of processes. */
const scalingMax = 0.1;

/** Judges a run: the goals at one process, and the same cost at any number of processes. */
export function judge(run: Run): readonly Verdict[] {
  const ours = run.results.filter(({ product }) => product === 'gatehouse');
  return [...ours.flatMap(goalVerdict), ...scalingVerdicts(ours)];
}

function goalVerdict(result: Result): readonly Verdict[] {
  const { goal } = modeOf(result.mode);
  if (goal === undefined || result.processes !== 1) return [];
  const { perCoreSecond } = result;
  const holds = perCoreSecond >= goal.asked;
  const also = perCoreSecond >= goal.wished ? `, and the ${goal.wished} wished for` : '';
  return [
    {
      holds,
      sentence:
        `${result.mode}: ${perCoreSecond.toFixed(0)} per core-second of ${goal.asked}${also}` +
        ` (${result.echoes.median.toFixed(1)} echoes)`,
    },
  ];
}

function scalingVerdicts(results: readonly Result[]): readonly Verdict[] {
  const verdicts: Verdict[] = [];
  for (const one of results) {
    if (one.processes !== 1) continue;
    const others = results.filter(({ mode, processes }) => mode === one.mode && processes > 1);
    if (others.length === 0) continue;
    const parts = others.map((other) => {
      const change = other.echoes.median / one.echoes.median - 1;
      const bare = signedPercent(other.crowd - 1);
      return {
        change,
        text: `x${other.processes} ${signedPercent(change)} (bare servers: ${bare})`,
      };
    });
    verdicts.push({
      holds: parts.every(({ change }) => Math.abs(change) <= scalingMax),
      sentence:
        `${one.mode}, CPU against one process (in echoes): ` +
        parts.map(({ text }) => text).join(', '),
    });
  }
  return verdicts;
}

/** +4 %, -12 %. */
export function signedPercent(share: number): string {
  const percent = Math.round(share * 100);
  return `${percent > 0 ? '+' : ''}${percent} %`;
}
