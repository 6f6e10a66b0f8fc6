// `npm run bench`: what an operation costs, beside oidc-provider (docs/benchmarks.md).

import { understand, usage } from './command-line.ts';
import { compare } from './compare.ts';
import { runControl } from './control.ts';
import { runFloor } from './floor.ts';
import { judge } from './judgement.ts';
import { runProfile } from './profile.ts';
import { writeReport } from './report/report.ts';
import { type Run, readRun, writeRun } from './results.ts';
import { WrongAnswer } from './run.ts';
import { type Session, withDeployments } from './session.ts';

/** Everything that was asked for holds; something does not; the run itself failed. */
const exitCodes = { holds: 0, short: 1, failed: 2 } as const;

async function main(): Promise<number> {
  const asked = understand(process.argv.slice(2));
  const say = (line: string) => console.error(line);
  switch (asked.command) {
    case 'help':
      console.log(usage);
      return exitCodes.holds;
    case 'wrong':
      console.error(`${asked.sentence}\n\n${usage}`);
      return exitCodes.failed;
    case 'report':
      for (const path of await writeReport(asked.file)) console.log(path);
      return exitCodes.holds;
    case 'compare':
      console.log(compare(await readRun(asked.before), await readRun(asked.after)));
      return exitCodes.holds;
    case 'control': {
      const { holds, sentence } = await runControl(asked.seconds, asked.rows, say);
      console.log(`${holds ? 'ok   ' : 'SHORT'} ${sentence}`);
      return holds ? exitCodes.holds : exitCodes.short;
    }
    case 'floor':
      console.log(await runFloor(asked.plan, say));
      return exitCodes.holds;
    case 'profile':
      console.log(await runProfile(asked.plan, say));
      return exitCodes.holds;
    case 'run': {
      const session: Session = { processes: asked.processes, peer: asked.peer, say };
      const run = await withDeployments(session, asked.plan);
      if (asked.save) console.error(`written to ${await writeRun(run, asked.output)}`);
      if (asked.json) console.log(JSON.stringify(run));
      return conclude(run, asked.judged);
    }
  }
}

function conclude(run: Run, judged: boolean): number {
  if (!judged) return exitCodes.holds;
  const verdicts = judge(run);
  if (verdicts.length === 0) console.error('Nothing was judged: none of this has a goal.');
  for (const { holds, sentence } of verdicts) {
    console.error(`${holds ? 'ok   ' : 'SHORT'} ${sentence}`);
  }
  return verdicts.every(({ holds }) => holds) ? exitCodes.holds : exitCodes.short;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof WrongAnswer ? `WRONG ANSWER: ${error.message}` : error);
  process.exitCode = exitCodes.failed;
}
