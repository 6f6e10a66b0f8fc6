import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** What a process holds right after a collection of its garbage. */
export interface Reading {
  /** On the machine's monotonic clock. */
  readonly atMs: number;
  readonly rss: number;
  readonly heapUsed: number;
}

/** As the collector writes it. */
interface Written extends Reading {
  /** The process that started it. */
  readonly parent: number;
}

/** The readings of one process, oldest first. */
export interface ProcessMemory {
  /** `primary`, `worker 1`, ... in the order in which they were started. */
  readonly name: string;
  readonly readings: readonly Reading[];
}

/** Processes that collect their garbage and say what is left. */
export interface MemoryWatch {
  /** Arguments of Node for the process to watch; those it forks inherit them. */
  readonly nodeArgs: readonly string[];
  /** Of the process with this id and its workers. Throws where these are not so many. */
  read(primaryPid: number, workers: number): Promise<readonly ProcessMemory[]>;
  stop(): Promise<void>;
}

/** Makes a place for the readings. Each is a whole collection: the process stands still meanwhile. */
export async function watchMemory(everyMs: number): Promise<MemoryWatch> {
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-memory-'));
  const collector = new URL('./collector.ts', import.meta.url);
  collector.searchParams.set('directory', pathToFileURL(directory).href);
  collector.searchParams.set('everyMs', String(Math.max(1, Math.round(everyMs))));
  return {
    nodeArgs: ['--expose-gc', '--import', collector.href],
    async read(primaryPid, workers) {
      const primary = await readingsOf(join(directory, `${primaryPid}.jsonl`));
      const others: Written[][] = [];
      for (const name of await readdir(directory)) {
        const written = await readingsOf(join(directory, name));
        if (written[0]?.parent === primaryPid) others.push(written);
      }
      if (others.length !== workers) {
        throw new Error(
          `${others.length} workers have written of their memory, and ${workers} were started: ` +
            'one has ended and was replaced, or the soak was too short for a collection',
        );
      }
      const bornMs = (written: readonly Reading[]) => written[0]?.atMs ?? 0;
      others.sort((a, b) => bornMs(a) - bornMs(b));
      return [primary, ...others].map((written, index) => ({
        name: index === 0 ? 'primary' : `worker ${index}`,
        readings: written.map(({ parent: _, ...reading }) => reading),
      }));
    },
    stop: () => rm(directory, { recursive: true, force: true }),
  };
}

async function readingsOf(path: string): Promise<Written[]> {
  // A last line without its end is still being written.
  const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line));
}
