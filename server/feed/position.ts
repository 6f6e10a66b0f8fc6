import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '#server/operation/log.ts';

/** The newest fact that a node of this data directory has seen, and in which history. */
export interface FeedPosition {
  /** `control.history`: another one is another database, or this one after a recovery. */
  readonly history: string;
  readonly seq: number;
  /** Seconds since the epoch: until then the fact cannot have been swept. */
  readonly expiresAt: number;
}

/** Remembers, beyond the life of a process, how far the feed had come. */
export interface PositionFile {
  /** What an earlier process noted; undefined: nothing that can be read. */
  readonly noted: FeedPosition | undefined;
  note(position: FeedPosition): void;
  /** Writes what is not written. */
  close(): Promise<void>;
}

/** Notes arrive with facts; a second of them is one write. */
const writeMs = 1000;

/** Reads `<dataDir>/feed-position`. Several processes may write it: any of them is near enough. */
export async function openPositionFile(dataDir: string, log: Log): Promise<PositionFile> {
  const path = join(dataDir, 'feed-position');
  const noted = positionOf(await readFile(path, 'utf8').catch(() => ''));
  let next: FeedPosition | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function write(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const position = next;
    next = undefined;
    if (position === undefined) return;
    const draft = `${path}.${process.pid}`;
    try {
      await writeFile(draft, `${JSON.stringify(position)}\n`, { mode: 0o600 });
      await rename(draft, path);
    } catch (error) {
      log.warn('feed_position_not_written', {}, error);
    }
  }

  return {
    noted,
    note(position) {
      next = position;
      timer ??= setTimeout(() => void write(), writeMs).unref();
    },
    close: write,
  };
}

function positionOf(text: string): FeedPosition | undefined {
  try {
    const fields = new Map<string, unknown>(Object.entries(Object(JSON.parse(text))));
    const [history, seq, expiresAt] = ['history', 'seq', 'expiresAt'].map((k) => fields.get(k));
    if (typeof history !== 'string' || !Number.isSafeInteger(seq)) return undefined;
    return { history, seq: Number(seq), expiresAt: Number(expiresAt) || 0 };
  } catch {
    return undefined;
  }
}
