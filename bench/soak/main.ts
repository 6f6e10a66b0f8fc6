// `npm run soak`: half an hour at half of capacity; nothing may grow (docs/benchmarks.md).
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeSoakReport } from '../report/soak-report.ts';
import { minuteOf, resultsDirectory, writeResult } from '../results.ts';
import { isServed, type Judged, runSoak } from './soak.ts';

const usage = `npm run soak -- [options]

  --minutes N     how long (default 30; 1.5 is a loose form for a first look)
  --processes N   of Gatehouse (default 2)
  --share X       of the capacity, which is measured first (default 0.5)
  --output FILE   where to write the samples (default: bench/results/soak-<date>.json)
  --report        write table and plot into docs/, too

Example: npm run soak -- --minutes 1.5 --output /tmp/soak.json

Exit code: 0 all is flat, 1 something grows, is too noisy to tell, or 503 to one in a thousand, 2 a wrong answer or a failed run.`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '30' },
      processes: { type: 'string', default: '2' },
      share: { type: 'string', default: '0.5' },
      output: { type: 'string' },
      report: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    console.log(usage);
    return 0;
  }
  const soak = await runSoak({
    minutes: positive(values.minutes, 'minutes'),
    processes: positive(values.processes, 'processes'),
    share: positive(values.share, 'share'),
    say: (line) => console.error(line),
  });
  const usual = join(resultsDirectory, `soak-${minuteOf(soak.date)}.json`);
  const file = await writeResult(values.output ?? usual, soak);
  console.log(
    `${soak.operations} operations, every answer right, ${soak.unavailable} times 503; written to ${file}`,
  );
  for (const judged of soak.judged) console.log(sentenceOf(judged));
  const served = isServed(soak);
  if (!served) console.log('Too many were answered 503: it was not the load that was asked for.');
  if (values.report === true) {
    for (const path of await writeSoakReport(soak, file)) console.log(path);
  }
  return served && soak.judged.every(({ trend }) => trend.verdict === 'flat') ? 0 : 1;
}

function sentenceOf({ name, unit, trend }: Judged): string {
  const { level, growth, low, high, limit, verdict } = trend;
  return (
    `${verdict.padEnd(8)}${name}: ${level.toFixed(1)} ${unit}, ` +
    `changed by ${growth.toFixed(1)} (${low.toFixed(1)} to ${high.toFixed(1)}), ` +
    `may by ${limit.toFixed(1)}`
  );
}

function positive(text: string, name: string): number {
  const given = Number(text);
  if (!(given > 0)) throw new Error(`--${name} is a number above 0, not "${text}"\n\n${usage}`);
  return given;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 2;
}
