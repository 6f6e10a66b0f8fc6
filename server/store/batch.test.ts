import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createMetrics } from '#server/operation/metrics.ts';
import { openProxy, type TestProxy } from '#server/testing/proxy.ts';
import {
  newAttempt,
  newChain,
  newGrant,
  newSession,
  openTestStore,
  type TestStore,
  writeLogin,
} from '#server/testing/records.ts';
import { createWrites } from '#server/writes.ts';
import { asideWidth, createBatch, rowTriesMax } from './batch.ts';
import { type Database, DatabaseUnavailable, openDatabase } from './database.ts';
import { refreshChains } from './refresh.ts';
import { beginSessions, type NewSession, type SessionOutcome } from './session.ts';

/** A batch of numbered items whose statements can be watched and held up. */
function watched(options: { rowsMax?: number; waitingMax?: number } = {}) {
  const statements: string[][] = [];
  const watch = { inFlight: 0, inFlightMost: 0, gate: Promise.resolve() };
  const add = createBatch<string, string>({
    name: 'watched',
    rowsMax: options.rowsMax ?? 100,
    waitingMax: options.waitingMax ?? 1000,
    key: (item) => item.slice(0, 1),
    async run(items) {
      statements.push([...items]);
      watch.inFlight += 1;
      watch.inFlightMost = Math.max(watch.inFlightMost, watch.inFlight);
      await watch.gate;
      await sleep(1);
      watch.inFlight -= 1;
      return items.map((item) => `did ${item}`);
    },
  });
  return { add, statements, watch };
}

describe('hot path 8: what arrives while a statement runs forms the next', () => {
  test('what one turn of the loop brings shares a statement, sorted by key', async () => {
    const { add, statements } = watched();
    const results = await Promise.all(['c1', 'a1', 'b1'].map(add));
    expect(results).toEqual(['did c1', 'did a1', 'did b1']);
    expect(statements).toEqual([['a1', 'b1', 'c1']]);
  });

  test('equal keys never share a statement, and go in the order in which they came', async () => {
    const { add, statements } = watched();
    const results = await Promise.all(['a1', 'b1', 'a2', 'a3', 'b2'].map(add));
    expect(results).toEqual(['did a1', 'did b1', 'did a2', 'did a3', 'did b2']);
    expect(statements).toEqual([['a1', 'b1'], ['a2', 'b2'], ['a3']]);
  });

  test('one statement is in flight at a time, and none is larger than allowed', async () => {
    const { add, statements, watch } = watched({ rowsMax: 3 });
    const letters = [...'abcdefghij'];
    await Promise.all(letters.map((letter) => add(`${letter}1`)));
    expect(statements.map((rows) => rows.length)).toEqual([3, 3, 3, 1]);
    expect(watch.inFlightMost).toBe(1);
  });

  test('R21: the queue is bounded; over it callers are told 503, and it takes up again', async () => {
    const { add, statements, watch } = watched({ waitingMax: 5 });
    let open = () => {};
    watch.gate = new Promise((resolve) => {
      open = resolve;
    });
    const first = add('a1');
    await expect.poll(() => statements).toHaveLength(1);
    const queued = ['b1', 'c1', 'd1', 'e1', 'f1'].map(add);
    await expect(add('g1')).rejects.toThrow(DatabaseUnavailable);
    open();
    expect(await Promise.all([first, ...queued])).toHaveLength(6);
    expect(await add('g1')).toBe('did g1');
  });

  test('an outage is told to all of the batch at once, and the next batch is tried again', async () => {
    const state = { runs: 0, away: true };
    const add = createBatch<string, string>({
      name: 'outage',
      rowsMax: 10,
      waitingMax: 10,
      key: (item) => item,
      run: async (items) => {
        state.runs += 1;
        if (state.away) throw new DatabaseUnavailable('away');
        return items;
      },
    });
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map(add));
    expect(outcomes.map((one) => one.status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(state.runs).toBe(1);
    state.away = false;
    expect(await add('a')).toBe('a');
  });

  test('a row that runs alone: others go on meanwhile, and its key waits until it is done', async () => {
    const began: string[] = [];
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const add = createBatch<string, string>({
      name: 'alone',
      rowsMax: 10,
      waitingMax: 4,
      key: (item) => item.slice(0, 1),
      run: async (items) => {
        began.push(items.join(' '));
        if (items.length > 1) throw Object.assign(new Error('one of them'), { code: '23514' });
        if (items[0] === 'a1') await gate;
        return items;
      },
    });
    const first = [add('a1'), add('b1')];
    await first[1];
    const second = add('a2');
    expect(await add('c1')).toBe('c1');
    expect(began).toEqual(['a1 b1', 'a1', 'b1', 'c1']);
    // It counts where callers are counted: a1 alone, a2 waiting, and these two.
    const more = [add('a3'), add('a4')];
    await expect(add('d1')).rejects.toThrow(DatabaseUnavailable);
    open();
    expect(await Promise.all([...first, second, ...more])).toEqual(['a1', 'b1', 'a2', 'a3', 'a4']);
    expect(began.slice(4)).toEqual(['a2', 'a3', 'a4']);
  });

  test('R21: whoever waits too long for a statement of others is told 503, and is in none', async () => {
    const { add, statements, watch } = watched();
    let open = () => {};
    watch.gate = new Promise((resolve) => {
      open = resolve;
    });
    const slow = add('a1');
    await expect.poll(() => statements).toHaveLength(1);
    const begun = performance.now();
    await expect(add('b1')).rejects.toThrow(DatabaseUnavailable);
    expect(performance.now() - begun).toBeLessThan(20_000);
    open();
    expect(await slow).toBe('did a1');
    expect(await add('c1')).toBe('did c1');
    expect(statements).toEqual([['a1'], ['c1']]);
  });

  test('a row without an answer is a fault of ours, not a success', async () => {
    const add = createBatch<string, string>({
      name: 'short',
      rowsMax: 10,
      waitingMax: 10,
      key: (item) => item,
      run: async (items) => items.slice(1),
    });
    const [one, two] = await Promise.allSettled([add('a'), add('b')]);
    expect(one).toMatchObject({ status: 'fulfilled', value: 'b' });
    expect(two).toMatchObject({ status: 'rejected' });
  });
});

test('a row that failed alone is told so, and the others their results', async () => {
  const add = createBatch<string, string>({
    name: 'partly',
    rowsMax: 10,
    waitingMax: 10,
    key: (item) => item,
    run: async (items) => items.map((item) => (item === 'b' ? new Error('not this one') : item)),
  });
  const outcomes = await Promise.allSettled(['a', 'b', 'c'].map(add));
  expect(outcomes.map((one) => one.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});

let store: TestStore;
let proxy: TestProxy;
let remote: Database;
beforeAll(async () => {
  store = await openTestStore();
  proxy = await openProxy(Number(new URL(store.urls.server).port));
  remote = openDatabase({
    url: proxy.through(store.urls.server),
    applicationName: 'gatehouse-pool',
    connectionsMax: 4,
    connectMsMax: 5000,
    statementMsMax: 20_000,
  });
});
afterAll(async () => {
  await remote?.close();
  await proxy?.close();
  await store?.close();
});

describe('a row that PostgreSQL refuses does not take the others along', () => {
  function sessions() {
    const sizes: number[] = [];
    const add = createBatch<NewSession, SessionOutcome>({
      name: 'session',
      rowsMax: 200,
      waitingMax: 1000,
      key: (session) => session.id,
      run: (items) => {
        sizes.push(items.length);
        return beginSessions(store.database, items);
      },
    });
    return { add, sizes };
  }

  test.each([
    ['class 22: U+0000 in a string', { subject: 'ann\0' }, '22021'],
    ['class 22: a time out of range', { authenticatedAt: 9e17 }, '22008'],
    ['class 23: a value that a CHECK refuses', { subject: 'x'.repeat(256) }, '23514'],
  ] as const)('%s', async (_, poison, code) => {
    const { add, sizes } = sessions();
    const good = Array.from({ length: 20 }, () => newSession());
    const bad = [newSession(poison), newSession(poison)];
    const outcomes = await Promise.allSettled([...good, ...bad].map(add));
    const kinds = outcomes.map((one) => (one.status === 'fulfilled' ? one.value.kind : 'rejected'));
    expect(kinds).toEqual([...good.map(() => 'live'), 'rejected', 'rejected']);
    expect(outcomes.at(-1)).toMatchObject({ reason: { code } });
    // Singly, each once: what a CHECK refuses it refuses again.
    expect(sizes).toEqual([22, ...Array.from({ length: 22 }, () => 1)]);
    expect(await add(newSession())).toMatchObject({ kind: 'live' });
  });
});

test('a deadlock with another transaction: the rows are tried again, and succeed', async () => {
  const logins = [await writeLogin(store.database), await writeLogin(store.database)];
  const [low, high] = logins.map((login) => login.chain).sort((a, b) => (a.id < b.id ? -1 : 1));
  if (low === undefined || high === undefined) throw new Error('two chains');
  const codes: unknown[] = [];
  const add = createBatch({
    name: 'refresh',
    rowsMax: 10,
    waitingMax: 10,
    key: (attempt: ReturnType<typeof newAttempt>) => attempt.chainId,
    run: async (items) =>
      refreshChains(store.database, items).catch((error: unknown) => {
        codes.push(sqlStateOf(error));
        throw error;
      }),
  });
  const other = new pg.Client({ connectionString: store.urls.superuser });
  await other.connect();
  const lock = (id: string) =>
    other.query('update chain set keep_until = keep_until where id = $1', [id]);
  // Ours looks for a deadlock after a second, the other never.
  await other.query(`set deadlock_timeout = '1h'; begin`);
  await lock(high.id);
  // Our statement takes the lower id and waits for the higher; the other wants the lower one now.
  const ours = Promise.all([add(newAttempt(low)), add(newAttempt(high))]);
  await untilWaiting(store.rows);
  const theirs = lock(low.id).then(() => other.query('commit'));
  const [outcomes] = await Promise.all([ours, theirs]);
  await other.end();
  expect(outcomes.map((one) => one.kind)).toEqual(['refreshed', 'refreshed']);
  expect(codes).toEqual(['40P01']);
});

/** The SQLSTATE that a statement failed with, also where it counts as an outage. */
function sqlStateOf(error: unknown): unknown {
  const thrown = error instanceof DatabaseUnavailable ? error.cause : error;
  return thrown instanceof pg.DatabaseError ? thrown.code : thrown;
}

/** The rows of these chains, held by a transaction of somebody else until it is let go. */
async function hold(...chains: readonly { readonly id: string }[]): Promise<() => Promise<void>> {
  const other = new pg.Client({ connectionString: store.urls.server });
  await other.connect();
  await other.query('begin');
  const ids = chains.map((chain) => chain.id);
  await other.query('select from chain where id = any($1::uuid[]) for update', [ids]);
  return async () => {
    await other.query('rollback');
    await other.end();
  };
}

describe('a row that somebody holds', () => {
  /** The database, and the chains of each statement that refreshes. */
  function counted(database: Database) {
    const refreshed: (readonly unknown[])[] = [];
    const watched: Database = {
      ...database,
      query: async (statement, values) => {
        const [ids] = values;
        if (statement.name === 'refresh' && Array.isArray(ids)) refreshed.push(ids);
        return database.query<never>(statement, values);
      },
    };
    return { watched, refreshed };
  }

  test('keeps nobody else for longer than a lock timeout, and its own caller is told 503', async () => {
    const held = await writeLogin(store.database);
    const free = await writeLogin(store.database);
    const { watched, refreshed } = counted(store.database);
    const { refresh, beginSession } = createWrites(watched, createMetrics());
    const letGo = await hold(held.chain);
    const told: string[] = [];
    const done = async (who: string, work: Promise<unknown>) => {
      const outcome = await work.catch((error: unknown) => error);
      told.push(who);
      return outcome;
    };
    const theirs = done('theirs', refresh(newAttempt(held.chain)));
    const beside = done('beside', refresh(newAttempt(free.chain)));
    await untilWaiting(store.rows);
    const behind = [
      done('behind', beginSession(newSession())),
      done('behind', refresh(newAttempt(free.chain, { generation: 1 }))),
    ];
    for (const outcome of await Promise.all([beside, ...behind])) {
      expect(outcome).toMatchObject({ kind: expect.stringMatching(/^(live|refreshed)$/) });
    }
    const outcome = await theirs;
    expect(outcome).toMatchObject({ name: 'DatabaseUnavailable', contended: true });
    expect(sqlStateOf(outcome)).toBe('55P03');
    // It waited for two lock timeouts at most, and all others for less.
    expect(told.at(-1)).toBe('theirs');
    expect(refreshed.filter((ids) => ids.includes(held.chain.id)).length).toBeLessThanOrEqual(2);
    await letGo();
    const after = await refresh(newAttempt(held.chain));
    expect(after).toMatchObject({ kind: 'refreshed', chain: { generation: 1 } });
  });

  test('many of them leave connections to others, and all are told within two lock timeouts or three', async () => {
    const logins = await Promise.all(Array.from({ length: 12 }, () => writeLogin(store.database)));
    const letGo = await hold(...logins.map((login) => login.chain));
    const narrow = openDatabase({
      url: store.urls.server,
      applicationName: 'gatehouse-pool',
      connectionsMax: 4,
      connectMsMax: 2000,
      statementMsMax: 5000,
    });
    const { watched, refreshed } = counted(narrow);
    const { refresh, beginSession } = createWrites(watched, createMetrics());
    const told: unknown[] = [];
    const refused = logins.map((login) =>
      refresh(newAttempt(login.chain)).catch((error: unknown) => told.push(error)),
    );
    const alone = () => refreshed.filter((ids) => ids.length === 1);
    await expect.poll(() => alone().length).toBeGreaterThan(0);
    expect(await beginSession(newSession())).toMatchObject({ kind: 'live' });
    // Nobody had to be told so that there was a connection.
    expect(told).toEqual([]);
    await Promise.all(refused);
    expect(told).toHaveLength(logins.length);
    for (const error of told) {
      expect(error).toMatchObject({ name: 'DatabaseUnavailable', contended: true });
    }
    // One lock timeout of them all, and then one or two of a few side by side.
    expect(alone().length).toBeLessThanOrEqual(2 * asideWidth);
    await letGo();
    await narrow.close();
  });
});

/** Resolves when some statement waits for a lock that another transaction holds. */
async function untilWaiting(rows: pg.Client): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    const waiting = await rows.query(
      `select l.pid from pg_locks l join pg_stat_activity a on a.pid = l.pid
       where not l.granted and a.datname = current_database()`,
    );
    if (waiting.rows.length > 0) return;
    await sleep(10);
  }
  throw new Error('nothing waits for a lock');
}

describe('a lost COMMIT answer is asked again, and the attempt tells whose it was', () => {
  const writes = () => createWrites(remote, createMetrics());
  /** Runs `work` while the answers to a statement are lost. */
  async function losing<T>(statement: string, count: number, work: () => Promise<T>): Promise<T> {
    const before = proxy.lost();
    proxy.loseAnswers(statement, count);
    try {
      return await work();
    } finally {
      expect(proxy.lost() - before).toBe(count);
      proxy.loseAnswers('', 0);
    }
  }

  async function consented() {
    const session = newSession();
    await beginSessions(store.database, [session]);
    const grant = newGrant(session);
    const given = await createWrites(store.database, createMetrics()).giveGrant(grant);
    if (given.kind !== 'granted') throw new Error(given.kind);
    return { session, grant, chain: newChain(grant) };
  }

  test('a redemption: success, and for anybody else a replay', async () => {
    const { chain } = await consented();
    expect(await losing('redeem', 1, () => writes().redeem(chain))).toBe('redeemed');
    expect(await writes().redeem({ ...chain, attempt: randomUUID() })).toBe('replayed');
  });

  test('a batch of redemptions whose answer was lost: each is told its own', async () => {
    const [fresh, spent] = [await consented(), await consented()];
    await writes().redeem(spent.chain);
    const { redeem } = writes();
    const outcomes = await losing('redeem', 1, () =>
      Promise.all([redeem(fresh.chain), redeem({ ...spent.chain, attempt: randomUUID() })]),
    );
    expect(outcomes).toEqual(['redeemed', 'replayed']);
  });

  test('a refresh, also where the grace is strict: one generation on, not two, and no reuse', async () => {
    const { chain } = await writeLogin(store.database);
    const outcome = await losing('refresh', 1, () =>
      writes().refresh(newAttempt(chain, { graceSeconds: 0 })),
    );
    expect(outcome).toMatchObject({ kind: 'refreshed', chain: { generation: 1 } });
    const next = await writes().refresh(newAttempt(chain, { generation: 1 }));
    expect(next).toMatchObject({ kind: 'refreshed', chain: { generation: 2 } });
  });

  test('a login and a consent', async () => {
    const session = newSession();
    const begun = await losing('session_begin', 1, () => writes().beginSession(session));
    expect(begun).toMatchObject({ kind: 'live', session: { subject: session.subject } });
    const grant = newGrant(session);
    const given = await losing('grant_give', 1, () => writes().giveGrant(grant));
    expect(given).toEqual({ kind: 'granted', id: grant.id, version: 1 });
  });

  test('a revocation: it holds, and is told', async () => {
    const { chain } = await writeLogin(store.database);
    await losing('revoke', 1, () =>
      writes().revoke({ kind: 'chain', target: chain.id, reason: 'test', expiresAt: null }),
    );
    expect(await writes().refresh(newAttempt(chain))).toEqual({ kind: 'dead' });
  });

  test('the answer that explains the others is lost: what was written stands all the same', async () => {
    const [fresh, spent] = [await consented(), await consented()];
    await writes().redeem(spent.chain);
    const { redeem } = writes();
    const [won, other] = await losing('redeem_explain', 1, () =>
      Promise.allSettled([redeem(fresh.chain), redeem({ ...spent.chain, attempt: randomUUID() })]),
    );
    expect(won).toEqual({ status: 'fulfilled', value: 'redeemed' });
    expect(other).toMatchObject({ status: 'rejected', reason: { name: 'DatabaseUnavailable' } });
  });

  test('answers that are lost again and again: an outage in the end, nothing is claimed', async () => {
    const { chain } = await consented();
    // The batch, and then each try of the row alone.
    const outcome = losing('redeem', 1 + rowTriesMax, () => writes().redeem(chain));
    await expect(outcome).rejects.toMatchObject({ answerLost: true });
  });
});

test('PostgreSQL goes away under a batch: its callers are told once that is known, all of them', async () => {
  const away = openDatabase({
    url: proxy.through(store.urls.server),
    applicationName: 'gatehouse-pool',
    connectionsMax: 4,
    connectMsMax: 300,
    statementMsMax: 500,
  });
  const { beginSession } = createWrites(away, createMetrics());
  // On a busy machine a connection may itself take longer than it has here.
  const begin = async () => {
    const session = beginSession(newSession());
    return session.then(({ kind }) => kind, String);
  };
  await expect.poll(begin).toBe('live');
  proxy.hold();
  const begun = performance.now();
  const outcomes = await Promise.allSettled(
    Array.from({ length: 150 }, () => beginSession(newSession())),
  );
  // Row after row, each with a time limit of its own, took twelve seconds.
  expect(performance.now() - begun).toBeLessThan(9_000);
  const reasons = outcomes.map((one) => one.status === 'rejected' && one.reason);
  expect(reasons.every((reason) => reason instanceof DatabaseUnavailable)).toBe(true);
  proxy.release();
  await expect.poll(begin).toBe('live');
  await away.close();
});
