import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { giveGrants } from '#server/store/grant.ts';
import { type NewRevocation, revokeAll } from '#server/store/revocation.ts';
import { newGrant, newSession, openTestStore, type TestStore } from '#server/testing/records.ts';
import { beginSessions, extendSession, type NewSession, resumeSession } from './session.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store?.close());

async function begin(session: NewSession) {
  const [outcome] = await beginSessions(store.database, [session]);
  if (outcome === undefined) throw new Error('no outcome');
  return outcome;
}

async function revoke(kind: NewRevocation['kind'], target: string): Promise<number> {
  await revokeAll(store.database, [{ kind, target, reason: 'test', expiresAt: null }]);
  const { rows } = await store.rows.query('select max(f.seq)::int as seq from fact f');
  return rows[0]?.seq;
}

/** What a login is known by afterwards. */
function lasting(session: NewSession) {
  const { id, subject, loginBorn, authenticatedAt, acr, amr, remember } = session;
  return { id, subject, loginBorn, authenticatedAt, acr, amr, remember };
}

describe('one flow makes one login', () => {
  test('a new login lives, with what the login app said', async () => {
    const session = newSession();
    expect(await begin(session)).toMatchObject({ kind: 'live', session: lasting(session) });
    const resumed = await resumeSession(store.database, session.id, 'app');
    expect(resumed).toEqual({ kind: 'live', session: lasting(session), remembered: undefined });
  });

  test('R3: a replayed verifier yields the login it had, never a second identity', async () => {
    const session = newSession();
    await begin(session);
    const replayed = await begin({ ...session, acr: 'gold', authenticatedAt: 1_800_000_000 });
    expect(replayed).toMatchObject({ kind: 'live', session: lasting(session) });
    expect(await begin({ ...session, subject: 'mallory' })).toEqual({ kind: 'taken' });
    const { rows } = await store.rows.query('select s.subject from session s where s.id = $1', [
      session.id,
    ]);
    expect(rows).toEqual([{ subject: session.subject }]);
  });

  test('a login that ended is not begun again by its verifier', async () => {
    for (const kind of ['sign_out', 'session'] as const) {
      const session = newSession();
      await begin(session);
      await revoke(kind, session.id);
      expect(await begin(session), kind).toEqual({ kind: 'dead' });
      const resumed = await resumeSession(store.database, session.id, 'app');
      expect(resumed, kind).toEqual({ kind: 'dead' });
    }
  });

  test('a batch answers each of its logins in the order given', async () => {
    const [one, two, three] = [newSession(), newSession(), newSession()];
    await begin(two);
    const outcomes = await beginSessions(store.database, [
      one,
      { ...two, subject: 'mallory' },
      three,
    ]);
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(['live', 'taken', 'live']);
  });
});

describe('order, not clocks: a revocation of the subject kills logins born before it', () => {
  test('a login accepted before the revocation is dead, one accepted after it lives', async () => {
    const subject = `user-${randomUUID()}`;
    const seq = await revoke('subject', subject);
    expect(await begin(newSession({ subject, loginBorn: seq - 1 }))).toEqual({ kind: 'dead' });
    expect(await begin(newSession({ subject, loginBorn: seq }))).toMatchObject({ kind: 'live' });
  });

  test('a login that was made dies with its subject, and with a second revocation again', async () => {
    const session = newSession();
    await begin(session);
    const seq = await revoke('subject', session.subject);
    expect(await resumeSession(store.database, session.id, 'app')).toEqual({ kind: 'dead' });
    const again = newSession({ subject: session.subject, loginBorn: seq });
    expect(await begin(again)).toMatchObject({ kind: 'live' });
    await revoke('subject', session.subject);
    expect(await resumeSession(store.database, again.id, 'app')).toEqual({ kind: 'dead' });
  });

  test("another subject's revocation, or a client's, leaves a login alone", async () => {
    const session = newSession();
    await begin(session);
    await revoke('subject', `${session.subject}-other`);
    await revoke('client', session.clientId);
    expect(await resumeSession(store.database, session.id, 'app')).toMatchObject({ kind: 'live' });
  });
});

describe('wire: remember_for is enforced on the server', () => {
  const expire = (id: string) =>
    store.rows.query(
      `update session set created_at = now() - interval '2 hours',
         expires_at = now() - interval '1 second' where id = $1`,
      [id],
    );

  test('a login past its time is dead, whatever the cookie says', async () => {
    const session = newSession({ remember: true });
    await begin(session);
    await expire(session.id);
    expect(await resumeSession(store.database, session.id, 'app')).toEqual({ kind: 'dead' });
  });

  test('extended, it lives from now on; one that ended is not brought back', async () => {
    const [session, ended] = [newSession(), newSession()];
    await begin(session);
    await begin(ended);
    await revoke('sign_out', ended.id);
    await extendSession(store.database, session.id, 3600);
    await extendSession(store.database, ended.id, 3600);
    const { rows } = await store.rows.query(
      `select s.expires_at < now() + interval '61 minutes' as shortened
       from session s where s.id = $1`,
      [session.id],
    );
    expect(rows).toEqual([{ shortened: true }]);
    expect(await resumeSession(store.database, ended.id, 'app')).toEqual({ kind: 'dead' });
  });
});

describe('what was remembered comes with the login, in the same statement', () => {
  async function remember(over: Parameters<typeof newGrant>[1] = {}) {
    const clientId = `app-${randomUUID()}`;
    const session = newSession({ clientId });
    await begin(session);
    const grant = newGrant(session, { remember: true, ...over });
    await giveGrants(store.database, [grant]);
    const next = newSession({ subject: session.subject, clientId, loginBorn: 1_000_000 });
    return { session, grant, next };
  }

  test('scopes, audience and age of a remembered grant', async () => {
    const { next } = await remember({ audience: ['https://api.example'], grantBorn: 0 });
    expect(await begin(next)).toMatchObject({
      kind: 'live',
      remembered: {
        grantBorn: 0,
        scope: ['openid', 'offline_access'],
        audience: ['https://api.example'],
      },
    });
  });

  test("nothing where it was not to be remembered, or is another client's", async () => {
    const { next } = await remember({ remember: false });
    expect(await begin(next)).toMatchObject({ kind: 'live', remembered: undefined });
    const other = await remember();
    const elsewhere = { ...other.next, clientId: 'another-app' };
    expect(await begin(elsewhere)).toMatchObject({ kind: 'live', remembered: undefined });
  });

  test('nothing once the time is over, or grant, subject or client were revoked', async () => {
    const timed = await remember({ rememberSeconds: 1000 });
    await store.rows.query(`update "grant" set remember_until = now() where subject = $1`, [
      timed.session.subject,
    ]);
    expect(await begin(timed.next)).toMatchObject({ remembered: undefined });

    const granted = await remember();
    await revoke('grant', granted.grant.id);
    expect(await begin(granted.next)).toMatchObject({ kind: 'live', remembered: undefined });

    const person = await remember();
    await revoke('subject', person.session.subject);
    expect(await begin(person.next)).toMatchObject({ kind: 'live', remembered: undefined });

    const app = await remember();
    await revoke('client', app.session.clientId);
    expect(await begin(app.next)).toMatchObject({ kind: 'live', remembered: undefined });
  });
});
