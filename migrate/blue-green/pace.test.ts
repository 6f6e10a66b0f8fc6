import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEmptyPair } from '../testing/bank.ts';
import type { Pair } from '../testing/databases.ts';
import { type Database, openDatabase } from './database.ts';
import { atPace, limitAfter, limitFor, type Share, shareAfter } from './pace.ts';

describe('the share of bulk work', () => {
  const shareOf = (count: number, sample: number, from: Share) => {
    let share = from;
    for (let done = 0; done < count; done += 1) share = shareAfter(share, sample, limitFor(4), 4);
    return share;
  };

  it('halves within a second where others pile up, and comes back in fourteen', () => {
    const crowded = shareOf(10, 20, { busy: 4, workers: 4 });
    expect(crowded.workers).toBeLessThan(2);
    expect(shareOf(100, 20, crowded).workers).toBe(0.05);
    expect(shareOf(140, 4, { busy: 20, workers: 0.05 }).workers).toBeGreaterThan(3.9);
    expect(shareOf(1_000, 4, crowded).workers).toBe(4);
  });

  it('does not mind a single sample', () => {
    expect(shareOf(1, 10, { busy: 4, workers: 4 }).workers).toBe(4);
  });
});

it('a limit that was learned in a stall comes down, and none for what merely varies', () => {
  const stalled = limitFor(20);
  expect(limitAfter(stalled, 12)).toBe(stalled);
  expect(limitAfter(stalled, 4)).toBe(limitFor(4));
  expect(limitAfter(limitFor(4), 2.5)).toBe(limitFor(4));
});

describe('atPace', () => {
  let pair: Pair;
  let live: Database;
  beforeAll(async () => {
    pair = await openEmptyPair();
    live = await openDatabase('blue', pair.blue, 'test', 'work', () => {});
  });
  afterAll(async () => {
    await live.close();
    await pair.close();
  });

  /** Notes how many pieces were under way when one began. */
  const watched = async (pieces: number[], activeMax: number | undefined, signal: AbortSignal) => {
    const busy: number[] = [];
    const slowed = new Set<string>();
    let under = 0;
    const options = { workers: 4, activeMax };
    await atPace(signal, live, options, pieces, async (pace) => {
      for (let next = await pace.next(); next !== undefined; next = await pace.next()) {
        busy.push(++under);
        const why = pace.slowed();
        if (why !== undefined) slowed.add(why);
        await sleep(next);
        under -= 1;
      }
    });
    return { busy, slowed };
  };
  const never = new AbortController().signal;

  it('begins with one worker, and takes more where nobody else is there', async () => {
    const { busy } = await watched(Array(400).fill(10), undefined, never);
    expect(busy).toHaveLength(400);
    // A worker of a share of 1.03 comes in for a piece now and then.
    expect(busy.slice(0, 20).filter((under) => under > 2)).toEqual([]);
    expect(Math.max(...busy.slice(200))).toBeGreaterThan(1);
  });

  it('does few pieces without a look at others', async () => {
    expect((await watched([5, 5, 5], undefined, never)).busy).toEqual([1, 2, 3]);
    expect((await watched([], undefined, never)).busy).toEqual([]);
  });

  it('goes down to one worker that rests while others have more transactions open', async () => {
    const others = Array.from({ length: 5 }, () => new pg.Client({ connectionString: pair.blue }));
    for (const other of others) {
      await other.connect();
      await other.query('begin');
    }
    const work = watched(Array(200).fill(20), 2, never);
    await sleep(3_000);
    for (const other of others) await other.end();
    const { busy, slowed } = await work;
    expect(busy).toHaveLength(200);
    expect([...slowed].join('\n')).toMatch(/0\.\d of 4 workers: others have 5\.0 .* 2\.0 at most/);
  });

  it('does not take for ordinary what others have open in a stall', async () => {
    const open = async (count: number) => {
      const clients = Array.from(
        { length: count },
        () => new pg.Client({ connectionString: pair.blue }),
      );
      for (const client of clients) {
        await client.connect();
        await client.query('begin');
      }
      return async () => {
        for (const client of clients) await client.end();
      };
    };
    const [stalled, ordinary] = [await open(17), await open(3)];
    const work = watched(Array(400).fill(20), undefined, never);
    await sleep(300);
    await stalled();
    // After the two seconds of looking, while it works.
    await sleep(4_000);
    const crowd = await open(8);
    await sleep(1_500);
    for (const end of [crowd, ordinary]) await end();
    const { slowed } = await work;
    expect([...slowed].join('\n')).toMatch(/others have \d+\.\d .* 5\.5 at most/);
  });

  it('does not go on blind where its own session breaks', async () => {
    const work = watched(Array(400).fill(20), undefined, never);
    const failed = expect(work).rejects.toThrow(/terminat|not queryable/);
    await sleep(1_000);
    const other = new pg.Client({ connectionString: pair.blue });
    await other.connect();
    await other.query(
      `select pg_terminate_backend(a.pid) from pg_stat_activity a
       where a.datname = current_database() and a.query like '%pg_stat_replication%'
         and a.pid <> pg_backend_pid()`,
    );
    await other.end();
    await failed;
  });

  it('ends when it is told to, also while it rests', async () => {
    const other = new pg.Client({ connectionString: pair.blue });
    await other.connect();
    await other.query('begin');
    const end = new AbortController();
    const work = watched(Array(200).fill(20), 0, end.signal);
    await sleep(1_500);
    end.abort(new Error('told to end'));
    await expect(work).rejects.toThrow();
    await other.end();
  });
});
