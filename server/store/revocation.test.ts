import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { insertClient } from '#server/store/client.ts';
import { factsOf, type PollRow, poll } from '#server/store/fact.ts';
import { giveGrants } from '#server/store/grant.ts';
import { newGrant, openTestStore, type TestStore, writeLogin } from '#server/testing/records.ts';
import {
  grantIdsOf,
  grantIdsOfConsent,
  type NewRevocation,
  revokeAll,
  sessionIdsOf,
} from './revocation.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store?.close());

const live = () => writeLogin(store.database, { session: { clientId: `app-${randomUUID()}` } });

function revocation(kind: NewRevocation['kind'], target: string): NewRevocation {
  return { kind, target, reason: 'test', expiresAt: null };
}

const revoke = (kind: NewRevocation['kind'], target: string) =>
  revokeAll(store.database, [revocation(kind, target)]);

async function facts(target: string) {
  const { rows } = await store.rows.query(
    `select f.kind, f.seq::int, f.reason, f.expires_at > now() as lasts from fact f
     where f.target = $1 order by f.seq`,
    [target],
  );
  return rows;
}

describe('a revocation is true in its row, and told as a fact, in one statement', () => {
  test('a chain', async () => {
    const { chain } = await live();
    await revoke('chain', chain.id);
    const { rows } = await store.rows.query(
      'select c.revoked_at is not null as dead from chain c where c.id = $1',
      [chain.id],
    );
    expect(rows).toEqual([{ dead: true }]);
    expect(await facts(chain.id)).toMatchObject([{ kind: 'chain', reason: 'test', lasts: true }]);
  });

  test('a grant, which keeps the number of the fact that cut it', async () => {
    const { grant } = await live();
    await revoke('grant', grant.id);
    const [fact] = await facts(grant.id);
    const { rows } = await store.rows.query(
      'select g.revoked_at is not null as dead, g.cut_seq::int from "grant" g where g.id = $1',
      [grant.id],
    );
    expect(rows).toEqual([{ dead: true, cut_seq: fact.seq }]);
  });

  test('a session; signing out of one ends it without revoking it', async () => {
    const [revoked, ended] = [await live(), await live()];
    await revoke('session', revoked.session.id);
    await revoke('sign_out', ended.session.id);
    const { rows } = await store.rows.query(
      `select s.id, s.ended_at is not null as ended, s.revoked_at is not null as revoked
       from session s where s.id = any($1) order by s.revoked_at`,
      [[revoked.session.id, ended.session.id]],
    );
    expect(rows).toEqual([
      { id: revoked.session.id, ended: true, revoked: true },
      { id: ended.session.id, ended: true, revoked: false },
    ]);
  });

  test('a session that was signed out of can still be revoked', async () => {
    const { session } = await live();
    await revoke('sign_out', session.id);
    await revoke('session', session.id);
    expect((await facts(session.id)).map((fact) => fact.kind)).toEqual(['sign_out', 'session']);
  });

  test.each(['subject', 'client'] as const)(
    'a %s: the cutoff outlives it and moves up with each revocation',
    async (kind) => {
      const target = `${kind}-${randomUUID()}`;
      await revoke(kind, target);
      await revoke(kind, target);
      const [, second] = await facts(target);
      const { rows } = await store.rows.query(
        'select k.seq::int from cutoff k where k.kind = $1 and k.target = $2',
        [kind, target],
      );
      expect(rows).toEqual([{ seq: second.seq }]);
    },
  );

  test('an access token has no row: one fact, kept until the token had ended anyway', async () => {
    const [over, later] = [randomUUID(), randomUUID()];
    const end = Math.floor(Date.now() / 1000) + 7200;
    await revokeAll(store.database, [
      { kind: 'token', target: over, reason: 'test', expiresAt: 1 },
      { kind: 'token', target: later, reason: 'test', expiresAt: end },
    ]);
    await revokeAll(store.database, [
      { kind: 'token', target: later, reason: 'again', expiresAt: end },
    ]);
    const { rows } = await store.rows.query(
      `select f.target, extract(epoch from f.expires_at)::int - $2::int as margin
       from fact f where f.target = any($1)`,
      [[over, later], end],
    );
    // the one that is over needs none, and repeating the other adds none: anybody may repeat it
    expect(rows).toEqual([{ target: later, margin: 600 }]);
  });

  test('a batch of every kind at once', async () => {
    const one = await live();
    const subject = `user-${randomUUID()}`;
    const batch = [
      revocation('chain', one.chain.id),
      revocation('grant', one.grant.id),
      revocation('session', one.session.id),
      revocation('subject', subject),
      revocation('client', one.session.clientId),
      revocation('token', randomUUID()),
    ];
    expect(await revokeAll(store.database, batch)).toEqual(batch.map(() => true));
    for (const { kind, target } of batch) {
      expect((await facts(target)).map((fact) => fact.kind)).toContain(kind);
    }
  });
});

describe('repeating a revocation is harmless', () => {
  test('what is dead already is not told again, and what is not there not at all', async () => {
    const { chain, grant, session } = await live();
    for (const [kind, target] of [
      ['chain', chain.id],
      ['grant', grant.id],
      ['sign_out', session.id],
    ] as const) {
      await revoke(kind, target);
      await revoke(kind, target);
      // A flow, its login and its chain share an id, so facts of other kinds name it as well.
      const told = (await facts(target)).filter((fact) => fact.kind === kind);
      expect(told, kind).toHaveLength(1);
    }
    const nothing = randomUUID();
    for (const kind of ['chain', 'grant', 'session', 'sign_out'] as const) {
      await revoke(kind, nothing);
    }
    expect(await facts(nothing)).toEqual([]);
  });
});

test('a fact is kept as long as the longest access token that it can kill', async () => {
  const target = `client-${randomUUID()}`;
  await store.rows.query('update control set access_seconds_max = 50000 where singleton');
  await revoke('client', target);
  await store.rows.query(
    `update control set access_seconds_max = 60,
       access_expiry_high_water = now() + interval '80000 seconds' where singleton`,
  );
  const later = `client-${randomUUID()}`;
  await revoke('client', later);
  const { rows } = await store.rows.query(
    `select round(extract(epoch from f.expires_at - f.created_at))::int as seconds,
       round(extract(epoch from f.expires_at - o.access_expiry_high_water))::int as beyond
     from fact f, control o where f.target = any($1) order by f.seq`,
    [[target, later]],
  );
  expect(rows).toMatchObject([{ seconds: 50_600 }, { beyond: 600 }]);
});

describe('what is alive of a subject', () => {
  test('grants by subject, client and consent; sessions by subject', async () => {
    const subject = `user-${randomUUID()}`;
    const write = (clientId: string) =>
      writeLogin(store.database, { session: { subject, clientId } });
    const [a, b] = [await write('a'), await write('b')];
    const ids = [a.grant.id, b.grant.id];
    expect(await grantIdsOf(store.database, subject, null, null)).toEqual(ids);
    expect(await grantIdsOf(store.database, subject, 'b', null)).toEqual([b.grant.id]);
    expect(await grantIdsOfConsent(store.database, a.grant.flowId)).toEqual([a.grant.id]);
    const sessions = [a.session.id, b.session.id].sort();
    expect(await sessionIdsOf(store.database, subject)).toEqual(sessions);

    await revoke('grant', a.grant.id);
    await revoke('sign_out', b.session.id);
    expect(await grantIdsOf(store.database, subject, null, null)).toEqual([b.grant.id]);
    expect(await grantIdsOfConsent(store.database, a.grant.flowId)).toEqual([]);
    expect(await sessionIdsOf(store.database, subject)).toEqual([a.session.id]);
  });
});

test('a consent is found by its request however the flow went, and however many there are', async () => {
  const skipped = { ...(await writeLogin(store.database)), flowId: randomUUID() };
  const { session, grant } = skipped;
  // The person was signed in before, and the code has not been redeemed: only the grant knows the flow.
  await giveGrants(store.database, [newGrant(session, { flowId: skipped.flowId })]);
  expect(await grantIdsOfConsent(store.database, skipped.flowId)).toEqual([grant.id]);
  // The consent before is no longer the last one, and an unknown request is nobody's.
  expect(await grantIdsOfConsent(store.database, grant.flowId)).toEqual([]);
  expect(await grantIdsOfConsent(store.database, randomUUID())).toEqual([]);

  await store.rows.query(
    `insert into "grant" (subject, client_id, id, scope, audience, login_born, grant_born,
       last_flow_id, session_id)
     select 'walked-' || n, 'app', gen_random_uuid(), '{}', '{}', 0, 0, gen_random_uuid(),
       gen_random_uuid() from generate_series(1, 4500) n`,
  );
  const { rows } = await store.rows.query<{ id: string; last_flow_id: string }>(
    `select g.id, g.last_flow_id from "grant" g where g.subject in ('walked-1', 'walked-4400')`,
  );
  for (const one of rows) {
    expect(await grantIdsOfConsent(store.database, one.last_flow_id)).toEqual([one.id]);
  }
  await store.rows.query(`delete from "grant" where subject like 'walked-%'`);
});

test('facts are numbered in commit order: a poller for seq > cursor misses none', async () => {
  const [writers, rounds, perBatch] = [8, 25, 4];
  const told = new Set<string>();
  const seen = new Set<string>();
  const polled = { cursor: 0, polls: 0, writing: true };
  const poller = new pg.Client({ connectionString: store.urls.server });
  await poller.connect();
  const pollOnce = async () => {
    const { rows } = await poller.query<PollRow>({ ...poll, values: [polled.cursor] });
    polled.polls += 1;
    for (const fact of factsOf(rows)) {
      // The cursor's own comes again.
      if (seen.has(fact.target)) continue;
      expect(fact.seq).toBeGreaterThan(polled.cursor);
      polled.cursor = fact.seq;
      seen.add(fact.target);
    }
  };
  const write = async (writer: number) => {
    for (let round = 0; round < rounds; round += 1) {
      // Facts of other kinds are numbered by other statements, and share the order.
      if (writer === 0) {
        const client_id = `made-${round}`;
        await insertClient(store.database, { client_id }, undefined);
        told.add(client_id);
      } else {
        const batch = Array.from({ length: perBatch }, () => `person-${randomUUID()}`);
        await revokeAll(
          store.database,
          batch.map((target) => revocation('subject', target)),
        );
        for (const target of batch) told.add(target);
      }
    }
  };
  const polling = (async () => {
    while (polled.writing) await pollOnce();
  })();
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  polled.writing = false;
  await polling;
  await pollOnce();
  await poller.end();
  expect([...told].filter((target) => !seen.has(target))).toEqual([]);
  expect(told.size).toBe(rounds + (writers - 1) * rounds * perBatch);
  expect(polled.polls).toBeGreaterThan(10);
});

test('a transaction that numbered a fact but has not committed holds back all later ones', async () => {
  const slow = new pg.Client({ connectionString: store.urls.server });
  await slow.connect();
  const recorded: { text: string }[] = [];
  const recorder = {
    ...store.database,
    query: async <Row extends pg.QueryResultRow>(statement: { text: string }) => {
      recorded.push(statement);
      const rows: Row[] = [];
      return rows;
    },
  };
  await revokeAll(recorder, []);
  const [{ text } = { text: '' }] = recorded;
  const [first, second] = [`person-${randomUUID()}`, `person-${randomUUID()}`];
  await slow.query('begin');
  await slow.query(text, [
    ...[['subject'], [first], ['test'], [null]],
    ...Array.from({ length: 6 }, () => [null]),
  ]);
  const waiting = revoke('subject', second);
  const outcome = await Promise.race([
    waiting.then(() => 'committed'),
    new Promise((resolve) => setTimeout(() => resolve('waits'), 300)),
  ]);
  await slow.query('commit');
  await slow.end();
  await waiting;
  expect(outcome).toBe('waits');
  const [[one], [two]] = [await facts(first), await facts(second)];
  expect(two.seq).toBeGreaterThan(one.seq);
});
