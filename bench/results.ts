import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { arch, cpus, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { root } from './deployments/child.ts';
import type { Product } from './deployments/deployment.ts';
import type { ModeName } from './modes.ts';

/** A median with the smallest and largest of what it was taken from. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** What one mode cost at one deployment. */
export interface Result {
  readonly mode: ModeName;
  readonly product: Product;
  readonly processes: number;
  readonly slices: number;
  readonly operations: number;
  /** Answered with 503. */
  readonly unavailable: number;
  readonly perSecond: number;
  /** Server and PostgreSQL together. */
  readonly microseconds: Spread;
  readonly serverMicroseconds: number;
  readonly postgresMicroseconds: number;
  /** The same in requests to a bare server, measured right before and after. */
  readonly echoes: Spread;
  /** What a request to one of as many bare servers costs, all busy at once, in echoes of one. */
  readonly crowd: number;
  readonly perCoreSecond: number;
  /** Milliseconds, with every lane always busy. */
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Milliseconds from when an operation was due, at `ratePerSecond`. */
  readonly open?: {
    readonly ratePerSecond: number;
    readonly p50: number;
    readonly p95: number;
    readonly p99: number;
  };
  readonly serverBytes: number;
  readonly heapBytes: number;
  /** Per operation; null where it was not counted (--quick). */
  readonly commits: number | null;
  readonly rowsWritten: number | null;
  readonly temporaryBytes: number | null;
  readonly statements: number | null;
  readonly walBytes: number | null;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly postgres: string;
}

/** A whole run, as it is stored. */
export interface Run {
  readonly date: string;
  readonly gatehouse: string;
  readonly peer: string;
  readonly machine: Machine;
  readonly seconds: number;
  readonly rounds: number;
  readonly warm: number;
  /** Microseconds of one echo through the run. */
  readonly echo: Spread;
  /** Load average before and after, and CPU seconds that neighbours took meanwhile. */
  readonly load: { readonly before: number; readonly after: number; readonly stolen: number };
  readonly results: readonly Result[];
}

export const resultsDirectory = join(root, 'bench', 'results');

/** Writes a run; gives the path. */
export function writeRun(run: Run, path?: string): Promise<string> {
  return writeResult(path ?? join(resultsDirectory, `${minuteOf(run.date)}.json`), run);
}

/** Writes what was measured as JSON, and makes the directory; gives the path. */
export async function writeResult(path: string, result: object): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
  return path;
}

/** A date as a part of a file's name: 2026-01-31-0930. Two runs of one day get different ones. */
export function minuteOf(date: string): string {
  return date.slice(0, 16).replace('T', '-').replace(':', '');
}

/** Reads what {@link writeRun} wrote. */
export async function readRun(path: string): Promise<Run> {
  const run: Run = JSON.parse(await readFile(path, 'utf8'));
  if (!Array.isArray(run.results)) throw new Error(`${path} is not a result of npm run bench`);
  return run;
}

/** This machine. */
export function machineOf(postgres: string): Machine {
  const [cpu] = cpus();
  return {
    cpu: cpu?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: `${release()} ${arch()}`,
    node: process.versions.node,
    postgres,
  };
}

/** The version of a package of ours, or of ourselves. */
export function versionOf(directory: string): string {
  const file = join(root, directory, 'package.json');
  const { version } = JSON.parse(readFileSync(file, 'utf8'));
  return String(version);
}
