import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { giveGrants } from '#server/store/grant.ts';
import type { NewChain } from '#server/store/redemption.ts';
import { type NewRevocation, revokeAll } from '#server/store/revocation.ts';
import { beginSessions } from '#server/store/session.ts';
import {
  newAttempt,
  newGrant,
  newSession,
  openTestStore,
  type TestStore,
  writeLogin,
} from '#server/testing/records.ts';
import { type RefreshAttempt, type RefreshOutcome, refreshChains } from './refresh.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store?.close());

const live = (chain: Partial<NewChain> = {}) =>
  writeLogin(store.database, { session: { clientId: `app-${randomUUID()}` }, chain });

async function refresh(chain: NewChain, over: Partial<RefreshAttempt> = {}) {
  const [outcome] = await refreshChains(store.database, [newAttempt(chain, over)]);
  if (outcome === undefined) throw new Error('no outcome');
  return outcome;
}

/** The generation and MAC key of the successor, or why there is none. */
function successor(outcome: RefreshOutcome): string {
  if (outcome.kind !== 'refreshed') return outcome.kind;
  return `${outcome.chain.generation} by ${outcome.chain.macKid}`;
}

async function revoke(kind: NewRevocation['kind'], target: string): Promise<number> {
  await revokeAll(store.database, [{ kind, target, reason: 'test', expiresAt: null }]);
  const { rows } = await store.rows.query('select max(f.seq)::int as seq from fact f');
  return rows[0]?.seq;
}

/** Moves what happened to a chain into the past. */
const age = (chain: NewChain, seconds: number) =>
  store.rows.query(
    `update chain set rotated_at = rotated_at - make_interval(secs => $2) where id = $1`,
    [chain.id, seconds],
  );

const rowOf = async (chain: NewChain) =>
  (
    await store.rows.query(
      `select c.generation, c.mac_kid, c.attempt, c.rotated_at, c.expires_at
       from chain c where c.id = $1`,
      [chain.id],
    )
  ).rows[0];

describe('R5: rotation is one compare-and-set', () => {
  test('each use moves the row one generation on', async () => {
    const { chain, grant, session } = await live();
    const first = await refresh(chain);
    expect(first).toMatchObject({
      kind: 'refreshed',
      ahead: false,
      chain: {
        generation: 1,
        macKid: 'mac-2',
        subject: session.subject,
        grantId: grant.id,
        grantVersion: 1,
        sessionId: session.id,
        scope: ['openid', 'offline_access'],
        grantScope: ['openid', 'offline_access'],
        authenticatedAt: 1_700_000_000,
        amr: ['pwd', 'otp'],
      },
    });
    expect(successor(await refresh(chain, { generation: 1 }))).toBe('2 by mac-2');
    expect(successor(await refresh(chain, { generation: 2, macKid: 'mac-3' }))).toBe('3 by mac-3');
  });

  test('a chain that never had a refresh token, or is not there, has none', async () => {
    const { chain } = await live({ refreshable: false });
    expect(await refresh(chain)).toEqual({ kind: 'dead' });
    expect(await refresh({ ...chain, id: randomUUID() })).toEqual({ kind: 'unknown' });
  });

  test('a batch answers each of its tokens in the order given', async () => {
    const [one, two, three] = [await live(), await live(), await live()];
    await revoke('chain', two.chain.id);
    const outcomes = await refreshChains(store.database, [
      newAttempt(two.chain),
      newAttempt(three.chain, { clientId: 'stranger' }),
      newAttempt(one.chain),
    ]);
    expect(outcomes.map(successor)).toEqual(['dead', 'foreign', '1 by mac-2']);
  });
});

describe('security 21: a retry inside the grace gets the same successor', () => {
  test('with the MAC key of the first answer, though the keys were rotated meanwhile', async () => {
    const { chain } = await live();
    expect(successor(await refresh(chain, { macKid: 'mac-2' }))).toBe('1 by mac-2');
    const before = await rowOf(chain);
    expect(successor(await refresh(chain, { macKid: 'mac-9' }))).toBe('1 by mac-2');
    expect(await rowOf(chain)).toEqual(before);
  });

  test('the window is fixed at the first rotation and does not slide', async () => {
    const { chain } = await live();
    await refresh(chain);
    await age(chain, 40);
    expect(successor(await refresh(chain))).toBe('1 by mac-2');
    await age(chain, 30);
    expect(successor(await refresh(chain))).toBe('reused');
  });

  test('100 at once on many connections: one successor, and it still refreshes', async () => {
    const { chain } = await live();
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, i) => refresh(chain, { macKid: `mac-${i}` })),
    );
    const successors = new Set(outcomes.map(successor));
    expect([...successors]).toEqual([expect.stringMatching(/^1 by mac-\d+$/)]);
    expect(successor(await refresh(chain, { generation: 1 }))).toBe('2 by mac-2');
  });

  test('a lost COMMIT answer asked again: the same attempt gets its successor, grace or not', async () => {
    const { chain } = await live();
    const attempt = newAttempt(chain, { graceSeconds: 0 });
    await refreshChains(store.database, [attempt]);
    const [again] = await refreshChains(store.database, [attempt]);
    expect(again && successor(again)).toBe('1 by mac-2');
  });
});

describe('security 22 and 23: reuse', () => {
  test('after the grace is reuse', async () => {
    const { chain } = await live();
    await refresh(chain);
    await age(chain, 61);
    expect(await refresh(chain)).toEqual({ kind: 'reused' });
  });

  test('after the child was used is reuse, however soon', async () => {
    const { chain } = await live();
    await refresh(chain);
    await refresh(chain, { generation: 1 });
    expect(await refresh(chain)).toEqual({ kind: 'reused' });
    // The child itself is in its own grace.
    expect(successor(await refresh(chain, { generation: 1 }))).toBe('2 by mac-2');
  });

  test('a grace of 0 is strict: the second use is reuse', async () => {
    const { chain } = await live();
    await refresh(chain, { graceSeconds: 0 });
    expect(await refresh(chain, { graceSeconds: 0 })).toEqual({ kind: 'reused' });
  });

  test('a grace of 0 is strict at once, too: of 50 on many connections never two succeed', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { chain } = await live();
      const outcomes = await Promise.all(
        Array.from({ length: 50 }, () => refresh(chain, { graceSeconds: 0 })),
      );
      expect(outcomes.filter((one) => one.kind === 'refreshed')).toHaveLength(1);
      const others = outcomes.map((one) => one.kind).filter((kind) => kind !== 'refreshed');
      expect(others.every((kind) => kind === 'reused' || kind === 'unsettled')).toBe(true);
    }
  });

  test('R5: a stranger with a spent token learns and changes nothing', async () => {
    const { chain } = await live();
    await refresh(chain);
    await refresh(chain, { generation: 1 });
    const before = await rowOf(chain);
    expect(await refresh(chain, { clientId: 'stranger' })).toEqual({ kind: 'foreign' });
    expect(await refresh(chain, { cnf: Buffer.alloc(32, 1) })).toEqual({ kind: 'foreign' });
    expect(await rowOf(chain)).toEqual(before);
  });

  test('a token bound to a key is only refreshed with that key', async () => {
    const cnf = Buffer.alloc(32, 7);
    const { chain } = await live({ cnf });
    expect(await refresh(chain)).toEqual({ kind: 'foreign' });
    expect(await refresh(chain, { cnf: Buffer.alloc(32, 8) })).toEqual({ kind: 'foreign' });
    expect(successor(await refresh(chain, { cnf }))).toBe('1 by mac-2');
  });
});

test('a generation ahead of the row: the database lost writes, so the row moves forward', async () => {
  const { chain } = await live();
  const outcome = await refresh(chain, { generation: 5 });
  expect(outcome).toMatchObject({ kind: 'refreshed', ahead: true, chain: { generation: 6 } });
  expect(await refresh(chain, { generation: 2 })).toEqual({ kind: 'reused' });
  const dead = await live();
  await revoke('chain', dead.chain.id);
  expect(await refresh(dead.chain, { generation: 5 })).toEqual({ kind: 'dead' });
});

describe('R5: asking for more is refused and consumes nothing', () => {
  test.each([
    ['scope', { scope: ['openid', 'email'] }, 'scope_widened'],
    ['resource', { resource: ['https://c.example'] }, 'resource_widened'],
  ] as const)('%s', async (_, over, kind) => {
    const { chain } = await live();
    const before = await rowOf(chain);
    expect(await refresh(chain, over)).toEqual({ kind });
    expect(await rowOf(chain)).toEqual(before);
    expect(successor(await refresh(chain))).toBe('1 by mac-2');
    // A retry that asks for more is refused as well, and the grace stays.
    expect(await refresh(chain, over)).toEqual({ kind });
    expect(successor(await refresh(chain))).toBe('1 by mac-2');
  });

  test('RFC 6749 §6: a narrower scope is compared by name, never by pattern', async () => {
    const { chain } = await live({ scope: ['*', 'read.*'] });
    expect(await refresh(chain, { scope: ['read.all'] })).toEqual({ kind: 'scope_widened' });
    expect(successor(await refresh(chain, { scope: ['read.*'] }))).toBe('1 by mac-2');
  });

  test('asking for less is granted, and takes nothing away for the next time', async () => {
    const { chain } = await live();
    const less = { scope: ['openid'], resource: ['https://b.example'] };
    expect(successor(await refresh(chain, less))).toBe('1 by mac-2');
    const next = await refresh(chain, { generation: 1 });
    expect(next).toMatchObject({ chain: { scope: ['openid', 'offline_access'] } });
  });
});

describe('security 27: what the chain hangs from must live', () => {
  test.each(['chain', 'grant', 'session', 'subject', 'client'] as const)(
    'revoked: %s',
    async (kind) => {
      const { chain, grant, session } = await live();
      await refresh(chain);
      const target = {
        chain: chain.id,
        grant: grant.id,
        session: session.id,
        subject: session.subject,
        client: session.clientId,
      }[kind];
      await revoke(kind, target);
      const before = await rowOf(chain);
      expect(await refresh(chain, { generation: 1 })).toEqual({ kind: 'dead' });
      expect(await refresh(chain), 'the parent in its grace').toEqual({ kind: 'dead' });
      expect(await rowOf(chain)).toEqual(before);
    },
  );

  test("another's revocation leaves it alone", async () => {
    const [one, other] = [await live(), await live()];
    await revoke('chain', other.chain.id);
    await revoke('grant', other.grant.id);
    await revoke('session', other.session.id);
    await revoke('subject', other.session.subject);
    await revoke('client', other.session.clientId);
    expect(successor(await refresh(one.chain))).toBe('1 by mac-2');
  });

  test('given again after the revocation: the new grant revives no old chain', async () => {
    const { chain, grant, session } = await live();
    const seq = await revoke('grant', grant.id);
    const next = newSession({ subject: session.subject, clientId: session.clientId });
    await beginSessions(store.database, [next]);
    const again = newGrant(next, { grantBorn: seq });
    expect(await giveGrants(store.database, [again])).toMatchObject([{ kind: 'granted' }]);
    expect(await refresh(chain)).toEqual({ kind: 'dead' });
  });

  test('a subject revoked before the chain was born leaves it alone', async () => {
    const subject = `user-${randomUUID()}`;
    const seq = await revoke('subject', subject);
    const { chain } = await writeLogin(store.database, { session: { subject, loginBorn: seq } });
    expect(successor(await refresh(chain))).toBe('1 by mac-2');
  });
});

test('signing out is not revoking: an online chain ends with it, an offline one lives on', async () => {
  const [offline, online] = [await live(), await live({ online: true })];
  await revoke('sign_out', offline.session.id);
  await revoke('sign_out', online.session.id);
  expect(successor(await refresh(offline.chain))).toBe('1 by mac-2');
  expect(await refresh(online.chain)).toEqual({ kind: 'dead' });
});

describe('lifetimes', () => {
  test('of the login: an online chain ends when it does, an offline one lives on', async () => {
    const [offline, online] = [await live(), await live({ online: true })];
    expect(successor(await refresh(online.chain))).toBe('1 by mac-2');
    await store.rows.query(
      `update session set created_at = now() - interval '1 day', expires_at = now()
       where id = any($1)`,
      [[offline.session.id, online.session.id]],
    );
    expect(await refresh(online.chain, { generation: 1 })).toEqual({ kind: 'dead' });
    expect(successor(await refresh(offline.chain))).toBe('1 by mac-2');
  });

  test('idle: unused for too long it is dead; each use begins the time anew', async () => {
    const { chain } = await live({ idleSeconds: 100 });
    await refresh(chain, { idleSeconds: 5000 });
    const { rows } = await store.rows.query(
      `select extract(epoch from c.expires_at - now())::int between 4900 and 5000 as slid
       from chain c where c.id = $1`,
      [chain.id],
    );
    expect(rows).toEqual([{ slid: true }]);
    await store.rows.query(
      `update chain set created_at = now() - interval '1 day', expires_at = now() where id = $1`,
      [chain.id],
    );
    expect(await refresh(chain, { generation: 1 })).toEqual({ kind: 'dead' });
  });

  test('absolute: past its end it is dead, however recently it was used', async () => {
    const { chain } = await live({ absoluteSeconds: 1000 });
    expect(successor(await refresh(chain))).toBe('1 by mac-2');
    await store.rows.query(
      `update chain set created_at = now() - interval '1 day', absolute_expires_at = now()
       where id = $1`,
      [chain.id],
    );
    expect(await refresh(chain, { generation: 1 })).toEqual({ kind: 'dead' });
  });
});

test('a refresh touches no index: its updates are HOT (hot path 4)', async () => {
  const { chain } = await live();
  for (let generation = 0; generation < 20; generation += 1) {
    expect(successor(await refresh(chain, { generation }))).toBe(`${generation + 1} by mac-2`);
  }
  const { rows } = await store.rows.query(
    `select count(*)::int as changed from pg_index i
     join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
     where i.indrelid = 'chain'::regclass
       and a.attname in ('generation', 'mac_kid', 'attempt', 'rotated_at', 'expires_at', 'keep_until')`,
  );
  expect(rows).toEqual([{ changed: 0 }]);
});
