import type { Worker } from 'node:cluster';
import { randomUUID } from 'node:crypto';
import type { Metrics } from '#server/operation/metrics.ts';

// A scrape reaches one worker. It asks the primary, which asks every worker for what it has counted
// and gives the sum back: four messages, none of them on a request of anybody else.

/** For a worker that does not say in time what it has counted, its last word is taken. */
const countedMsMax = 1000;
/** Then the worker that was asked answers with its own numbers. */
const gatheredMsMax = 2500;

interface Message {
  readonly metrics: 'gather' | 'count' | 'counted' | 'gathered';
  readonly id: string;
  readonly snapshot?: unknown;
  readonly text?: string;
}

function messageOf(message: unknown): Message | undefined {
  if (typeof message !== 'object' || message === null || !('metrics' in message)) return undefined;
  const { metrics } = message;
  if (!('id' in message) || typeof message.id !== 'string') return undefined;
  const kinds = ['gather', 'count', 'counted', 'gathered'] as const;
  const kind = kinds.find((known) => known === metrics);
  if (kind === undefined) return undefined;
  return {
    metrics: kind,
    id: message.id,
    ...('snapshot' in message ? { snapshot: message.snapshot } : {}),
    ...('text' in message && typeof message.text === 'string' ? { text: message.text } : {}),
  };
}

/** In a worker: its metrics, whose exposition is that of all workers together. */
export function sharedMetrics(own: Metrics): Metrics {
  const waiting = new Map<string, (text: string) => void>();
  process.on('message', (raw) => {
    const message = messageOf(raw);
    if (message?.metrics === 'gathered') waiting.get(message.id)?.(message.text ?? '');
    if (message?.metrics !== 'count') return;
    own.snapshot().then(
      (snapshot) => send({ metrics: 'counted', id: message.id, snapshot }),
      () => {},
    );
  });
  return {
    ...own,
    async exposition() {
      const id = randomUUID();
      const gathered = new Promise<string>((resolve) => {
        waiting.set(id, resolve);
        setTimeout(() => resolve(''), gatheredMsMax).unref();
      });
      send({ metrics: 'gather', id });
      const text = await gathered;
      waiting.delete(id);
      return text === '' ? own.exposition() : text;
    },
  };
}

function send(message: Message): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

/** Of so many workers that have ended it is known what they had counted; above, a sum may fall. */
const endedMax = 100;

/** In the primary: answers the questions of workers by asking all of `members`. */
export interface MetricsDesk {
  attend(worker: Worker, members: ReadonlySet<Worker>): void;
}

/**
 * Whoever scrapes takes a counter that falls for one that began anew, and counts all of it again. So
 * the last that was heard of a worker stands for one that is late, and its counters for one that has
 * ended.
 */
export function openMetricsDesk(
  sum: (snapshots: readonly unknown[]) => Promise<string>,
): MetricsDesk {
  const heard = new Map<Worker, unknown>();
  const ended: unknown[] = [];

  async function latest(worker: Worker): Promise<unknown> {
    const counted = await countedBy(worker);
    if (counted !== undefined && !worker.isDead()) heard.set(worker, counted);
    return counted ?? heard.get(worker);
  }

  return {
    attend(worker, members) {
      worker.once('exit', () => {
        const counters = countersOf(heard.get(worker));
        heard.delete(worker);
        if (counters !== undefined) ended.push(counters);
        if (ended.length > endedMax) ended.shift();
      });
      worker.on('message', (raw: unknown) => {
        const message = messageOf(raw);
        if (message?.metrics !== 'gather') return;
        const { id } = message;
        Promise.all([...members].map(latest))
          .then((living) => sum([...ended, ...living].filter((one) => one !== undefined)))
          .then(
            (text) =>
              worker.isConnected() && worker.send({ metrics: 'gathered', id, text }, () => {}),
            () => {},
          );
      });
    },
  };
}

/** What goes on counting: gauges of a worker that has ended say nothing. */
function countersOf(snapshot: unknown): unknown {
  if (!Array.isArray(snapshot)) return undefined;
  return snapshot.filter(({ type }) => type === 'counter' || type === 'histogram');
}

function countedBy(worker: Worker): Promise<unknown> {
  const id = randomUUID();
  return new Promise((resolve) => {
    const done = (snapshot: unknown) => {
      worker.off('message', take);
      clearTimeout(late);
      resolve(snapshot);
    };
    const take = (raw: unknown) => {
      const message = messageOf(raw);
      if (message?.metrics === 'counted' && message.id === id) done(message.snapshot);
    };
    const late = setTimeout(() => done(undefined), countedMsMax);
    worker.on('message', take);
    if (worker.isConnected()) worker.send({ metrics: 'count', id }, () => {});
    else done(undefined);
  });
}
