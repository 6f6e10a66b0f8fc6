import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRevocationSet } from '#server/feed/revocations.ts';
import { areDead, factsOf, factsPerPoll, type PollRow, poll } from '#server/store/fact.ts';
import type { Mortal } from '#server/store/feed.ts';
import { narrowGrant } from '#server/store/narrowing.ts';
import { type NewRevocation, revokeAll } from '#server/store/revocation.ts';
import { newMortal, openTestStore, type TestStore, writeLogin } from '#server/testing/records.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store?.close());

async function pollFrom(cursor: number) {
  const rows = await store.database.query<PollRow & Record<string, unknown>>(poll, [cursor]);
  return { rows, facts: factsOf(rows) };
}

async function revoke(kind: NewRevocation['kind'], target: string): Promise<number> {
  await revokeAll(store.database, [{ kind, target, reason: 'test', expiresAt: null }]);
  const { rows } = await store.rows.query('select max(f.seq)::int as seq from fact f');
  return rows[0]?.seq;
}

describe('the poll', () => {
  test('of an empty table still says which database this is, its state and its time', async () => {
    const { rows, facts } = await pollFrom(0);
    expect(facts).toEqual([]);
    expect(rows).toMatchObject([{ epoch: '1', state: 'live' }]);
    expect(Math.abs(Number(rows[0]?.now_ms) - Date.now())).toBeLessThan(60_000);
  });

  test('brings the fact at the cursor and what came after it, in order, and no more than a page', async () => {
    const cursor = await revoke('subject', 'ann');
    await revoke('client', 'app');
    const { facts } = await pollFrom(cursor);
    expect(facts).toMatchObject([
      { seq: cursor, kind: 'subject', target: 'ann' },
      { seq: cursor + 1, kind: 'client', target: 'app' },
    ]);
    await store.rows.query(
      `insert into fact (seq, kind, target, expires_at)
       select nextval('fact_seq'), 'token', 'many-' || i, now() + interval '1 hour'
       from generate_series(1, $1::int) i`,
      [factsPerPoll + 10],
    );
    const page = await pollFrom(cursor + 1);
    expect(page.facts).toHaveLength(factsPerPoll);
    const rest = await pollFrom(page.facts.at(-1)?.seq ?? 0);
    expect(rest.facts).toHaveLength(12);
  });
});

/** What an access token carries, of a login that nothing killed. */
async function mortalOf(over: Partial<Mortal> = {}): Promise<Mortal> {
  const { chain, grant, session } = await writeLogin(store.database, {
    session: { clientId: `app-${randomUUID()}` },
  });
  const { subject, clientId } = session;
  const ids = { chainId: chain.id, grantId: grant.id, sessionId: session.id, subject, clientId };
  return newMortal({ ...ids, ...over });
}

describe('memory and PostgreSQL judge the same tokens alike (hot path 6)', () => {
  const kinds = ['token', 'chain', 'grant', 'session', 'sign_out', 'subject', 'client'] as const;
  const targetOf = (mortal: Mortal, kind: (typeof kinds)[number]) =>
    ({
      token: mortal.tokenId,
      chain: mortal.chainId,
      grant: mortal.grantId,
      session: mortal.sessionId,
      sign_out: mortal.sessionId,
      subject: mortal.subject,
      client: mortal.clientId,
    })[kind];

  /** Both judges, over everything that was ever told. */
  async function judge(mortals: readonly Mortal[]) {
    const set = createRevocationSet();
    for (let cursor = 0; ; ) {
      const { facts } = await pollFrom(cursor);
      for (const fact of facts) set.add(fact);
      cursor = facts.at(-1)?.seq ?? cursor;
      if (facts.length < factsPerPoll) break;
    }
    const inMemory = mortals.map((mortal) => set.kills(mortal));
    expect(await areDead(store.database, mortals)).toEqual(inMemory);
    return inMemory;
  }

  test.each(kinds)('%s kills its own token and no other', async (kind) => {
    const online = kind === 'sign_out';
    const [doomed, other] = [await mortalOf({ online }), await mortalOf({ online })];
    expect(await judge([doomed, other])).toEqual([false, false]);
    await revoke(kind, targetOf(doomed, kind));
    expect(await judge([doomed, other])).toEqual([true, false]);
  });

  test('narrowing a grant kills tokens of its earlier versions, and no others', async () => {
    const [first, other] = [await mortalOf(), await mortalOf()];
    const remains = { scope: ['openid'], audience: null, reason: 'test' };
    expect(await narrowGrant(store.database, first.grantId, remains)).toMatchObject({ version: 2 });
    const second = { ...first, tokenId: randomUUID(), grantVersion: 2 };
    expect(await judge([first, second, other])).toEqual([true, false, false]);
    await narrowGrant(store.database, first.grantId, { ...remains, scope: [] });
    const third = { ...first, tokenId: randomUUID(), grantVersion: 3 };
    expect(await judge([first, second, third])).toEqual([true, true, false]);
  });

  test('signing out spares tokens that hang from the grant', async () => {
    const mortal = await mortalOf();
    await revoke('sign_out', mortal.sessionId);
    const online = { ...mortal, tokenId: randomUUID(), online: true };
    expect(await judge([mortal, online])).toEqual([false, true]);
  });

  test('a subject fact spares logins born after it, a client fact grants born after it', async () => {
    const mortal = await mortalOf();
    const subject = await revoke('subject', mortal.subject);
    const client = await revoke('client', mortal.clientId);
    const born = (loginBorn: number, grantBorn: number) => {
      return { ...mortal, tokenId: randomUUID(), loginBorn, grantBorn };
    };
    expect(
      await judge([
        born(subject, client),
        born(subject - 1, client),
        born(subject, client - 1),
        born(client, subject),
      ]),
    ).toEqual([false, true, true, true]);
  });

  test('an id of one kind does not kill where it is used as another', async () => {
    const mortal = await mortalOf();
    const { grantId, sessionId } = mortal;
    const mixed = await mortalOf({ chainId: grantId, grantId: sessionId, sessionId: '' });
    await revoke('grant', mortal.grantId);
    expect(await judge([mortal, mixed])).toEqual([true, false]);
  });

  test('security 44: what has no token id, such as admin credentials, is judged each by itself', async () => {
    const credential = () => mortalOf({ tokenId: '', chainId: '', grantId: '', sessionId: '' });
    const [deleted, other] = [await credential(), await credential()];
    await revoke('client', deleted.clientId);
    expect(await judge([deleted, other])).toEqual([true, false]);
    expect(await judge([other, deleted])).toEqual([false, true]);
  });

  test('client credentials have neither chain nor grant: only token and client kill', async () => {
    const alone = await mortalOf({ chainId: '', grantId: '', sessionId: '', subject: '' });
    expect(await judge([alone])).toEqual([false]);
    await revoke('client', alone.clientId);
    expect(await judge([alone])).toEqual([true]);
  });
});
