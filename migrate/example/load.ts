import { randomInt, randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { add, type Histogram, type Percentiles, percentiles } from './histogram.ts';

/** One second of a load. */
export interface Window {
  /** When it began, in milliseconds since 1970. */
  readonly atMs: number;
  readonly failed: number;
  /** Answers 503, also where a further attempt was answered well. */
  readonly unavailable: number;
  /** Buckets of histogram.ts, by when an operation should have begun: waiting counts. */
  readonly reads: readonly (readonly [number, number])[];
  readonly writes: readonly (readonly [number, number])[];
}

/** What a whole load came to. */
export interface Summary {
  readonly seconds: number;
  readonly sent: number;
  /** Transfers in the ledger. */
  readonly acknowledged: number;
  /** Operations that were never answered well. */
  readonly failed: number;
  /** Answers 503; all of them had Retry-After unless `unavailableBare` says otherwise. */
  readonly unavailable: number;
  readonly unavailableBare: number;
  /** Attempts without any answer: the connection was refused or broke; and why, each with its number. */
  readonly broken: number;
  readonly breaks: Readonly<Record<string, number>>;
  /** Transfers that were acknowledged and not found by a read right after. */
  readonly missing: number;
  /** Operations that were never sent, because too many were under way. */
  readonly shed: number;
  /** Kinds of failures, each with an example. */
  readonly failures: Readonly<Record<string, number>>;
  /** What answers 503 said. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly reads: Percentiles;
  readonly writes: Percentiles;
}

export interface LoadOptions {
  readonly app: string;
  readonly rate: number;
  /** Share of reads. */
  readonly reads: number;
  readonly attemptsMax: number;
  /** Called at once when a transfer was acknowledged, before anything else. */
  readonly acknowledged: (id: string) => void;
  readonly window: (window: Window) => void;
  /** Called with what an answer 503 said. */
  readonly turnedAway?: (said: string) => void;
}

export interface Load {
  /** Sends nothing new, waits for what is under way. */
  stop(): Promise<Summary>;
}

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly text: string;
}

const underWayMax = 4_000;
const tickMs = 5;
const answerMsMax = 30_000;
const readyMsMax = 20_000;

/** Waits until the bank answers, then begins. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  // An idle connection ends here first: on one that the bank is about to end a request would be lost.
  const agent = new Agent({ keepAlive: true, maxSockets: 1_024, timeout: answerMsMax });
  const call = (method: string, path: string, body?: unknown) =>
    ask(agent, options.app, method, path, body);
  const { accounts, customers } = await untilReady(call);
  const reads: Histogram = new Map();
  const writes: Histogram = new Map();
  let second = { reads: new Map(), writes: new Map(), failed: 0, unavailable: 0 };
  const failures = new Map<string, number>();
  const reasons = new Map<string, number>();
  const breaks = new Map<string, number>();
  const totals = { sent: 0, acknowledged: 0, failed: 0, unavailable: 0, unavailableBare: 0 };
  const further = { broken: 0, missing: 0, shed: 0 };
  const underWay = new Set<Promise<void>>();
  const stopping = new AbortController();

  const failed = (what: string) => {
    totals.failed += 1;
    second.failed += 1;
    tally(failures, what);
  };
  /** The answer, after as many attempts as are allowed; undefined: it failed, and was counted. */
  const insist = async (method: string, path: string, expected: number, body?: unknown) => {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await call(method, path, body).catch((error: Error) => {
        further.broken += 1;
        tally(breaks, error.message);
        return error;
      });
      const answered = answer instanceof Error ? undefined : answer;
      if (answered?.status === expected) return answered;
      if (answered?.status === 503) {
        totals.unavailable += 1;
        second.unavailable += 1;
        tally(reasons, answered.text.trim());
        options.turnedAway?.(answered.text.trim());
        if (answered.retryAfter === undefined) totals.unavailableBare += 1;
      }
      const again = answered === undefined || answered.status === 503;
      if (!again || attempt >= options.attemptsMax) {
        const said =
          answer instanceof Error ? answer.message : `${answer.status} ${answer.text.trim()}`;
        failed(`${method} ${path.split('/', 2).join('/')}: ${said}`.slice(0, 200));
        return undefined;
      }
      await sleep(answered === undefined ? 200 : 1_000);
    }
  };
  const transfer = async () => {
    const id = randomUUID();
    const from = randomInt(1, accounts + 1);
    const to = 1 + ((from + randomInt(1, accounts) - 1) % accounts);
    const body = { id, from, to, cents: randomInt(1, 100) };
    if ((await insist('POST', '/transfers', 201, body)) === undefined) return;
    options.acknowledged(id);
    totals.acknowledged += 1;
    if (randomInt(10) > 0) return;
    const seen = await call('GET', `/transfers/${id}`).catch(() => undefined);
    if (seen?.status === 404) further.missing += 1;
  };
  const profile = async () => {
    const body = {
      given: `Given${randomInt(97)}`,
      family: `Family${randomInt(1009)}`,
      bio: `bio ${randomInt(1e6)}`,
    };
    await insist('PUT', `/customers/${randomInt(1, customers + 1)}`, 200, body);
  };
  const read = async () => {
    const path =
      randomInt(4) > 0
        ? `/accounts/${randomInt(1, accounts + 1)}`
        : `/customers/${randomInt(1, customers + 1)}`;
    await insist('GET', path, 200);
  };
  const operate = async (dueMs: number) => {
    totals.sent += 1;
    const isRead = randomInt(1_000) < options.reads * 1_000;
    if (isRead) await read();
    else if (randomInt(10) > 0) await transfer();
    else await profile();
    const ms = performance.now() - dueMs;
    add(isRead ? reads : writes, ms);
    add(isRead ? second.reads : second.writes, ms);
  };

  const startedMs = performance.now();
  const loop = (async () => {
    for (let due = 0; !stopping.signal.aborted; ) {
      const elapsedMs = performance.now() - startedMs;
      for (; due < (elapsedMs / 1000) * options.rate; due += 1) {
        if (underWay.size >= underWayMax) {
          further.shed += 1;
          continue;
        }
        const one = operate(startedMs + (due / options.rate) * 1000);
        underWay.add(one);
        void one.finally(() => underWay.delete(one));
      }
      await sleep(tickMs);
    }
  })();
  let windowAtMs = Date.now();
  const closeWindow = () => {
    const { failed: failures, unavailable } = second;
    const [readBuckets, writeBuckets] = [[...second.reads], [...second.writes]];
    options.window({
      atMs: windowAtMs,
      failed: failures,
      unavailable,
      reads: readBuckets,
      writes: writeBuckets,
    });
    windowAtMs = Date.now();
    second = { reads: new Map(), writes: new Map(), failed: 0, unavailable: 0 };
  };
  const timer = setInterval(closeWindow, 1_000);

  return {
    async stop() {
      stopping.abort();
      await loop;
      await Promise.all(underWay);
      clearInterval(timer);
      closeWindow();
      agent.destroy();
      return {
        seconds: Math.round((performance.now() - startedMs) / 100) / 10,
        ...totals,
        ...further,
        failures: Object.fromEntries(failures),
        reasons: Object.fromEntries(reasons),
        breaks: Object.fromEntries(breaks),
        reads: percentiles(reads),
        writes: percentiles(writes),
      };
    },
  };
}

/** Counts, of 20 kinds at most. */
function tally(counts: Map<string, number>, what: string): void {
  if (counts.size < 20 || counts.has(what)) counts.set(what, (counts.get(what) ?? 0) + 1);
}

async function untilReady(
  call: (method: string, path: string) => Promise<Answer>,
): Promise<{ readonly accounts: number; readonly customers: number }> {
  for (const startedMs = performance.now(); ; await sleep(100)) {
    const answer = await call('GET', '/health').catch((error: Error) => error);
    if (!(answer instanceof Error) && answer.status === 200) {
      const { accounts, customers } = JSON.parse(answer.text);
      if (accounts >= 2 && customers >= 1) return { accounts, customers };
    }
    if (performance.now() - startedMs < readyMsMax) continue;
    const said = answer instanceof Error ? answer.message : answer.text;
    throw new Error(`The bank is not ready after ${readyMsMax / 1000} s: ${said}`);
  }
}

function ask(agent: Agent, app: string, method: string, path: string, body?: unknown) {
  return new Promise<Answer>((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text === undefined ? {} : { 'content-type': 'application/json' };
    const sent = request(new URL(path, app), { agent, method, headers, timeout: answerMsMax });
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          retryAfter: response.headers['retry-after'],
          text: Buffer.concat(chunks).toString('utf8'),
        }),
      );
    });
    sent.end(text);
  });
}
