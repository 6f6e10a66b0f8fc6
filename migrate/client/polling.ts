import type pg from 'pg';
import { readSeam, type Seam, type Side } from './seam.ts';

/** Asks one side again and again what it is. */
export interface Polling {
  /** Resolves when a poll that began after this call has ended, well or not. */
  fresh(): Promise<void>;
  /** Drops the answer of a poll that is under way: what it will say may be older than what is known. */
  doubt(): void;
  /** No timer and no poll is left when it resolves. */
  close(): Promise<void>;
}

export interface PollingOptions {
  readonly side: Side;
  readonly pool: pg.Pool;
  /** How long to wait before the next poll, in milliseconds; asked after each. */
  readonly intervalMs: () => number;
  readonly heard: (word: Seam | 'bare') => void;
  readonly failed: (error: unknown) => void;
}

/** After a poll that failed at least so long passes: nobody hammers a database that is down. */
const failurePauseMs = 25;

/** Begins to poll at once. */
export function startPolling(options: PollingOptions): Polling {
  const { side, pool, intervalMs, heard, failed } = options;
  let closed = false;
  let begun = 0;
  let doubted = 0;
  let expected = false;
  let wake = () => {};
  let waiting: { readonly after: number; readonly resolve: () => void }[] = [];

  const once = async () => {
    begun += 1;
    const turn = begun;
    try {
      const word = await readSeam(pool, expected);
      expected = word !== 'bare';
      if (closed || turn <= doubted) return;
      if (word !== 'bare' && word.side !== side) {
        throw new Error(
          `The database that is configured as ${side} is ${word.side} in its migration: ` +
            'the connection settings are swapped.',
        );
      }
      heard(word);
    } catch (error) {
      if (closed) return;
      failed(error);
      await nap(failurePauseMs, false);
    }
  };
  const nap = (ms: number, mayWake: boolean) =>
    new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        wake = () => {};
        resolve();
      };
      const timer = setTimeout(end, ms);
      wake = () => {
        if (mayWake || closed) end();
      };
    });
  const settle = () => {
    const done = waiting.filter(({ after }) => closed || after < begun);
    waiting = waiting.filter((one) => !done.includes(one));
    for (const { resolve } of done) resolve();
  };
  const loop = (async () => {
    while (!closed) {
      await once();
      settle();
      if (!closed && waiting.length === 0) await nap(intervalMs(), true);
    }
    settle();
  })();

  return {
    fresh() {
      if (closed) return Promise.resolve();
      const asked = new Promise<void>((resolve) => waiting.push({ after: begun, resolve }));
      wake();
      return asked;
    },
    doubt() {
      doubted = begun;
    },
    async close() {
      closed = true;
      wake();
      await loop;
    },
  };
}
