import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { root } from '../deployments/child.ts';
import { readRun, resultsDirectory } from '../results.ts';
import { operationsPlot, processesPlot } from './plots.ts';
import { hasScaling, tablesOf } from './tables.ts';

const page = join(root, 'docs', 'benchmarks.md');
const images = join(root, 'docs', 'images');

/** Writes tables and plots of a run (absent: the newest) into docs/; gives the paths. */
export async function writeReport(file: string | undefined): Promise<readonly string[]> {
  const source = file ?? (await newestResult());
  const run = await readRun(source);
  await replaceSection(page, 'run', tablesOf(run, relative(root, source)));
  const written = [page];
  const plots = {
    'benchmarks.svg': operationsPlot(run),
    ...(hasScaling(run) ? { 'processes.svg': processesPlot(run) } : {}),
  };
  for (const [name, svg] of Object.entries(plots)) {
    const path = join(images, name);
    await writeFile(path, svg);
    written.push(path);
  }
  return written;
}

/** Replaces what stands between `<!-- name -->` and `<!-- /name -->` of a page. */
export async function replaceSection(path: string, name: string, content: string): Promise<void> {
  const text = await readFile(path, 'utf8');
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${path} has no place between ${begin} and ${end}`);
  const before = text.slice(0, from + begin.length);
  await writeFile(path, `${before}\n\n${content}\n\n${text.slice(to)}`);
}

async function newestResult(): Promise<string> {
  const names = (await readdir(resultsDirectory).catch(() => [])).filter((name) =>
    /^\d{4}-.*\.json$/.test(name),
  );
  const newest = names.sort().at(-1);
  if (newest === undefined) {
    throw new Error('there is no result yet: run `npm run bench` first, or name a file');
  }
  return join(resultsDirectory, newest);
}
