import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { redeemCodes } from '#server/store/redemption.ts';
import { type NewRevocation, revokeAll } from '#server/store/revocation.ts';
import { beginSessions, type NewSession } from '#server/store/session.ts';
import {
  newChain,
  newGrant,
  newSession,
  openTestStore,
  type TestStore,
} from '#server/testing/records.ts';
import { giveGrants, type NewGrant } from './grant.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store?.close());

async function begin(over: Partial<NewSession> = {}): Promise<NewSession> {
  const session = newSession(over);
  await beginSessions(store.database, [session]);
  return session;
}

async function give(grant: NewGrant) {
  const [outcome] = await giveGrants(store.database, [grant]);
  if (outcome === undefined) throw new Error('no outcome');
  return outcome;
}

/** The next consent of the same person, in a flow of its own. */
async function consentAgain(session: NewSession, over: Partial<NewGrant> = {}): Promise<NewGrant> {
  const next = await begin({ subject: session.subject, clientId: session.clientId });
  return newGrant(next, over);
}

async function revoke(kind: NewRevocation['kind'], target: string): Promise<number> {
  await revokeAll(store.database, [{ kind, target, reason: 'test', expiresAt: null }]);
  const { rows } = await store.rows.query('select max(f.seq)::int as seq from fact f');
  return rows[0]?.seq;
}

async function rowOf(session: NewSession) {
  const { rows } = await store.rows.query(
    `select g.id, g.version, g.scope, g.audience, g.grant_born::int, g.last_flow_id,
       g.remember, g.remembered_scope, g.revoked_at, g.cut_seq::int, g.detail
     from "grant" g where g.subject = $1 and g.client_id = $2`,
    [session.subject, session.clientId],
  );
  return { count: rows.length, ...rows[0] };
}

describe('one grant per subject and client; consent adds scopes', () => {
  test('the first consent makes it, with version 1', async () => {
    const session = await begin();
    const grant = newGrant(session, { audience: ['https://api.example'] });
    expect(await give(grant)).toEqual({ kind: 'granted', id: grant.id, version: 1 });
    expect(await rowOf(session)).toMatchObject({
      count: 1,
      scope: ['openid', 'offline_access'],
      audience: ['https://api.example'],
      last_flow_id: grant.flowId,
    });
  });

  test('the next one keeps id and version, and adds', async () => {
    const session = await begin();
    const first = newGrant(session);
    await give(first);
    const next = await consentAgain(session, { scope: ['openid', 'email'], audience: ['api'] });
    expect(await give(next)).toEqual({ kind: 'granted', id: first.id, version: 1 });
    const row = await rowOf(session);
    expect(row.count).toBe(1);
    expect([...row.scope].sort()).toEqual(['email', 'offline_access', 'openid']);
    expect(row.audience).toEqual(['api']);
  });

  test('R21: what a row holds is bounded; what is asked now has its place', async () => {
    const session = await begin();
    const numbered = (name: string, count: number) =>
      Array.from({ length: count }, (_, i) => `${name}.${i}`);
    const over = { remember: true, audience: numbered('https://old.example', 20) };
    await give(newGrant(session, { ...over, scope: numbered('old', 100) }));
    const scope = [...numbered('new', 30), 'old.99'];
    const audience = numbered('https://new.example', 5);
    const next = await consentAgain(session, { remember: true, scope, audience });
    expect(await give(next)).toMatchObject({ kind: 'granted' });
    const row = await rowOf(session);
    expect(row.scope).toHaveLength(100);
    expect(row.remembered_scope).toHaveLength(100);
    expect(row.scope).toEqual(expect.arrayContaining(scope));
    expect(row.remembered_scope).toEqual(expect.arrayContaining(scope));
    expect(row.audience).toEqual(expect.arrayContaining(audience));
  });

  test('a verifier that is replayed changes nothing', async () => {
    const session = await begin();
    const grant = newGrant(session);
    const once = await give(grant);
    const before = await rowOf(session);
    expect(await give({ ...grant, id: randomUUID() })).toEqual(once);
    expect(await rowOf(session)).toEqual(before);
  });

  test('a batch answers each of its consents in the order given', async () => {
    const sessions = [await begin(), await begin(), await begin()];
    const [one, two, three] = sessions.map((session) => newGrant(session));
    if (one === undefined || two === undefined || three === undefined) throw new Error('three');
    const nobody = { ...two, sessionId: randomUUID() };
    const outcomes = await giveGrants(store.database, [one, nobody, three]);
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(['granted', 'dead', 'granted']);
  });
});

test("a flow whose code was redeemed gets no second code ('back' must not revoke tokens)", async () => {
  const session = await begin();
  const grant = newGrant(session);
  const given = await give(grant);
  if (given.kind !== 'granted') throw new Error(given.kind);
  expect(await redeemCodes(store.database, [newChain({ ...grant, id: given.id })])).toEqual([
    'redeemed',
  ]);
  const before = await rowOf(session);
  expect(await give({ ...grant, scope: ['openid', 'email'] })).toEqual({ kind: 'redeemed' });
  expect(await rowOf(session)).toEqual(before);
});

describe('a consent needs a login that lives', () => {
  test.each(['sign_out', 'session'] as const)('not after %s', async (kind) => {
    const session = await begin();
    await revoke(kind, session.id);
    expect(await give(newGrant(session))).toEqual({ kind: 'dead' });
    expect(await rowOf(session)).toMatchObject({ count: 0 });
  });

  test("not with another person's login", async () => {
    const [ann, bob] = [await begin(), await begin()];
    expect(await give(newGrant(ann, { sessionId: bob.id }))).toEqual({ kind: 'dead' });
  });

  test('not when the subject was revoked after the login was accepted', async () => {
    const session = await begin();
    const seq = await revoke('subject', session.subject);
    expect(await give(newGrant(session))).toEqual({ kind: 'dead' });
    const after = await begin({ subject: session.subject, loginBorn: seq });
    expect(await give(newGrant(after))).toMatchObject({ kind: 'granted' });
  });

  test('not when the client was revoked after the consent was accepted', async () => {
    const session = await begin({ clientId: `app-${randomUUID()}` });
    const seq = await revoke('client', session.clientId);
    expect(await give(newGrant(session, { grantBorn: seq - 1 }))).toEqual({ kind: 'dead' });
    expect(await give(newGrant(session, { grantBorn: seq }))).toMatchObject({ kind: 'granted' });
  });
});

describe('granting again after a revocation gives a new id, version 1 and only the new scopes', () => {
  async function granted(over: Partial<NewGrant> = {}) {
    const session = await begin({ clientId: `app-${randomUUID()}` });
    const grant = newGrant(session, {
      remember: true,
      audience: ['https://api.example'],
      ...over,
    });
    await give(grant);
    return { session, grant };
  }

  test('after the grant itself was revoked', async () => {
    const { session, grant } = await granted();
    const seq = await revoke('grant', grant.id);
    expect(await rowOf(session)).toMatchObject({ cut_seq: seq });
    const again = await consentAgain(session, { scope: ['email'], grantBorn: seq });
    expect(await give(again)).toEqual({ kind: 'granted', id: again.id, version: 1 });
    expect(await rowOf(session)).toMatchObject({
      count: 1,
      id: again.id,
      scope: ['email'],
      audience: [],
      remember: false,
      remembered_scope: [],
      revoked_at: null,
      cut_seq: seq,
    });
  });

  test('after the subject was', async () => {
    const { session } = await granted();
    const seq = await revoke('subject', session.subject);
    const next = await begin({
      subject: session.subject,
      clientId: session.clientId,
      loginBorn: seq,
    });
    const again = newGrant(next, { scope: ['email'] });
    expect(await give(again)).toEqual({ kind: 'granted', id: again.id, version: 1 });
    expect(await rowOf(session)).toMatchObject({ scope: ['email'] });
  });

  test('after the client was', async () => {
    const { session } = await granted();
    const seq = await revoke('client', session.clientId);
    const again = await consentAgain(session, { scope: ['email'], grantBorn: seq });
    expect(await give(again)).toEqual({ kind: 'granted', id: again.id, version: 1 });
    expect(await rowOf(session)).toMatchObject({ scope: ['email'], grant_born: seq });
  });

  test('a flow accepted before the revocation changes nothing, though its verifier is still out there', async () => {
    const { session, grant } = await granted();
    const late = await consentAgain(session, { scope: ['email'], grantBorn: 0 });
    const seq = await revoke('grant', grant.id);
    const before = await rowOf(session);
    expect(await give({ ...late, grantBorn: seq - 1 })).toEqual({ kind: 'dead' });
    expect(await rowOf(session)).toEqual(before);
    // And the verifier of the very consent that was withdrawn does not bring it back.
    expect(await give(grant)).toEqual({ kind: 'dead' });
    expect(await rowOf(session)).toEqual(before);
  });

  test('also after it was given again: the older flow still changes nothing', async () => {
    const { session, grant } = await granted();
    const seq = await revoke('grant', grant.id);
    await give(await consentAgain(session, { scope: ['email'], grantBorn: seq }));
    const before = await rowOf(session);
    expect(await give({ ...grant, id: randomUUID() })).toEqual({ kind: 'dead' });
    expect(await rowOf(session)).toEqual(before);
  });
});

describe('what is remembered', () => {
  test('a skipped consent shows what the person last saw, and keeps what is remembered', async () => {
    const session = await begin();
    await give(newGrant(session, { remember: true, detail: { seen: 'yes' } }));
    await give(await consentAgain(session, { skipped: true, detail: { seen: 'no' } }));
    expect(await rowOf(session)).toMatchObject({
      detail: { seen: 'yes' },
      remember: true,
      remembered_scope: ['openid', 'offline_access'],
    });
  });

  test('a consent that is not to be remembered is not, though the grant holds more', async () => {
    const session = await begin();
    await give(newGrant(session, { remember: true, scope: ['openid'] }));
    await give(await consentAgain(session, { scope: ['openid', 'email'] }));
    const row = await rowOf(session);
    expect([...row.scope].sort()).toEqual(['email', 'openid']);
    expect(row.remembered_scope).toEqual(['openid']);
  });
});

test('two consents of one person at once: both hold, one row, whichever is first', async () => {
  for (let round = 0; round < 10; round += 1) {
    const session = await begin();
    const next = await consentAgain(session, { scope: ['email'] });
    const outcomes = await Promise.all([give(newGrant(session)), give(next)]);
    const ids = new Set(outcomes.map((one) => (one.kind === 'granted' ? one.id : one.kind)));
    expect(ids.size).toBe(1);
    const row = await rowOf(session);
    expect([row.count, row.scope.length]).toEqual([1, 3]);
  }
});
