import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { giveGrants, type NewGrant } from '#server/store/grant.ts';
import { type NewRevocation, revokeAll } from '#server/store/revocation.ts';
import { beginSessions } from '#server/store/session.ts';
import {
  newChain,
  newGrant,
  newSession,
  openTestStore,
  type TestStore,
} from '#server/testing/records.ts';
import { type NewChain, redeemCodes } from './redemption.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store?.close());

/** A code that waits to be redeemed. */
async function code(over: Partial<NewGrant> = {}, chain: Partial<NewChain> = {}) {
  const session = newSession({ clientId: `app-${randomUUID()}` });
  await beginSessions(store.database, [session]);
  const grant = newGrant(session, over);
  const [given] = await giveGrants(store.database, [grant]);
  if (given?.kind !== 'granted') throw new Error(`the grant is ${given?.kind}`);
  return { session, grant, chain: newChain(grant, chain) };
}

async function redeem(chain: NewChain) {
  const [outcome] = await redeemCodes(store.database, [chain]);
  return outcome;
}

async function revoke(kind: NewRevocation['kind'], target: string): Promise<number> {
  await revokeAll(store.database, [{ kind, target, reason: 'test', expiresAt: null }]);
  const { rows } = await store.rows.query('select max(f.seq)::int as seq from fact f');
  return rows[0]?.seq;
}

const chainsOf = async (id: string) =>
  (await store.rows.query('select c.attempt from chain c where c.id = $1', [id])).rows;

describe('RFC 6749 §4.1.2: a code is redeemed once', () => {
  test('the first redemption writes the chain, the second is a replay and writes nothing', async () => {
    const { chain } = await code();
    expect(await redeem(chain)).toBe('redeemed');
    expect(await redeem({ ...chain, attempt: randomUUID() })).toBe('replayed');
    expect(await chainsOf(chain.id)).toEqual([{ attempt: chain.attempt }]);
  });

  test('the row holds what the code said', async () => {
    const { chain } = await code({}, { claims: '{"id_token":{}}', absoluteSeconds: 90_000 });
    await redeem(chain);
    const { rows } = await store.rows.query(
      `select c.subject, c.client_id, c.scope, c.resource, c.generation, c.mac_kid, c.amr,
         c.claims, extract(epoch from c.expires_at - c.created_at)::int as idle,
         extract(epoch from c.absolute_expires_at - c.created_at)::int as absolute,
         extract(epoch from c.keep_until - c.created_at)::int as keep
       from chain c where c.id = $1`,
      [chain.id],
    );
    expect(rows).toEqual([
      {
        subject: chain.subject,
        client_id: chain.clientId,
        scope: ['openid', 'offline_access'],
        resource: ['https://a.example', 'https://b.example'],
        generation: 0,
        mac_kid: 'mac-1',
        amr: ['pwd', 'otp'],
        claims: '{"id_token":{}}',
        idle: 86_400,
        absolute: 90_000,
        keep: 3600,
      },
    ]);
  });

  test('also without a refresh token: a replay must be seen', async () => {
    const { chain } = await code({}, { refreshable: false });
    expect(await redeem(chain)).toBe('redeemed');
    expect(await redeem({ ...chain, attempt: randomUUID() })).toBe('replayed');
  });

  test('a lost COMMIT answer asked again: the same attempt succeeds, though it wrote nothing now', async () => {
    const { chain } = await code();
    expect(await redeem(chain)).toBe('redeemed');
    expect(await redeem(chain)).toBe('redeemed');
    expect(await chainsOf(chain.id)).toHaveLength(1);
  });

  test('security 15: of 50 at once on many connections never two succeed', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { chain } = await code();
      const attempts = Array.from({ length: 50 }, () => ({ ...chain, attempt: randomUUID() }));
      const outcomes = await Promise.all(attempts.map(redeem));
      expect(outcomes.filter((outcome) => outcome === 'redeemed')).toHaveLength(1);
      expect(outcomes.filter((outcome) => outcome === 'replayed')).toHaveLength(49);
      expect(await redeem({ ...chain, attempt: randomUUID() })).toBe('replayed');
    }
  });

  test('a batch answers each of its codes in the order given', async () => {
    const [one, two, three] = [await code(), await code(), await code()];
    await redeem(two.chain);
    const dead = { ...three.chain, grantId: randomUUID() };
    const again = { ...two.chain, attempt: randomUUID() };
    expect(await redeemCodes(store.database, [dead, again, one.chain])).toEqual([
      'dead',
      'replayed',
      'redeemed',
    ]);
  });
});

describe('security 18: what was revoked while the code was out is dead', () => {
  test('the grant', async () => {
    const { chain, grant } = await code();
    await revoke('grant', grant.id);
    expect(await redeem(chain)).toBe('dead');
    expect(await chainsOf(chain.id)).toEqual([]);
  });

  test('the grant, though it was given again meanwhile by a later flow', async () => {
    const { chain, grant, session } = await code();
    const seq = await revoke('grant', grant.id);
    const next = newSession({ subject: session.subject, clientId: session.clientId });
    await beginSessions(store.database, [next]);
    const again = newGrant(next, { grantBorn: seq });
    expect(await giveGrants(store.database, [again])).toMatchObject([{ kind: 'granted' }]);
    expect(await redeem(chain)).toBe('dead');
    // Nor does a code born before the cut live on under the new id.
    expect(await redeem({ ...chain, grantId: again.id })).toBe('dead');
    expect(await redeem(newChain(again))).toBe('redeemed');
  });

  test('the session', async () => {
    const { chain, session } = await code();
    await revoke('session', session.id);
    expect(await redeem(chain)).toBe('dead');
  });

  test('the subject and the client, by order', async () => {
    for (const kind of ['subject', 'client'] as const) {
      const { chain, session } = await code();
      const seq = await revoke(kind, kind === 'subject' ? session.subject : session.clientId);
      expect(await redeem(chain), kind).toBe('dead');
      const after = { ...chain, loginBorn: seq, grantBorn: seq };
      expect(await redeem(after), kind).toBe('redeemed');
    }
  });

  test('a row that is not there is dead: grant or session of somebody else', async () => {
    const [one, other] = [await code(), await code()];
    expect(await redeem({ ...one.chain, grantId: other.grant.id })).toBe('dead');
    expect(await redeem({ ...one.chain, sessionId: randomUUID() })).toBe('dead');
    expect(await redeem(one.chain)).toBe('redeemed');
  });

  test('a replay is told as a replay, also when what it hung from died since', async () => {
    const { chain, grant } = await code();
    await redeem(chain);
    await revoke('grant', grant.id);
    expect(await redeem({ ...chain, attempt: randomUUID() })).toBe('replayed');
  });
});

test('signing out is not revoking: an offline code is redeemed, an online one is dead', async () => {
  const [offline, online] = [await code(), await code({}, { online: true })];
  await revoke('sign_out', offline.session.id);
  await revoke('sign_out', online.session.id);
  expect(await redeem(online.chain)).toBe('dead');
  expect(await redeem(offline.chain)).toBe('redeemed');
});
