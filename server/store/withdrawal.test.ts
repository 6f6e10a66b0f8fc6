import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { giveGrants } from '#server/store/grant.ts';
import { beginSessions } from '#server/store/session.ts';
import { openSweepConnection, sweepAges, sweeps } from '#server/store/sweep.ts';
import { newGrant, newSession, openTestStore, type TestStore } from '#server/testing/records.ts';
import {
  endFlow,
  endLoginsUnderWay,
  forestall,
  withdrawConsent,
  withdrawConsentsUnderWay,
} from './withdrawal.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store?.close());

const id = randomUUID;
const pending = (work: Promise<void>) =>
  Promise.race([work.then(() => false), new Promise((done) => setTimeout(done, 300, true))]);

const consent = `
insert into "grant" (
  subject, client_id, id, scope, audience, login_born, grant_born, last_flow_id, session_id)
values ($1, 'app', $2, '{}', '{}', 0, 0, $2, $2)`;
const login = `
insert into session (id, subject, login_born, authenticated_at, remember, expires_at)
values ($2, $1, 0, now(), false, now() + interval '1 day')`;

test.each([
  [
    'a consent',
    consent,
    (subject: string) => withdrawConsentsUnderWay(store.database, subject, 'r'),
  ],
  ['a consent', consent, () => endFlow(store.database, id())],
  ['a login', login, (subject: string) => endLoginsUnderWay(store.database, subject, 'r')],
] as const)(
  'whoever is writing %s when it is withdrawn is waited for',
  async (_, text, withdraw) => {
    const subject = id();
    const writer = new pg.Client({ connectionString: store.urls.server });
    await writer.connect();
    try {
      await writer.query('begin');
      await writer.query(text, [subject, id()]);
      const withdrawn = withdraw(subject);
      expect(await pending(withdrawn)).toBe(true);
      await writer.query('commit');
      await withdrawn;
    } finally {
      await writer.end();
    }
  },
);

const threeDays = `now() - interval '3 days'`;
const cutoff = (kind: string, target: string) =>
  `insert into cutoff (kind, target, seq, created_at)
   values ('${kind}', ${target}, nextval('fact_seq'), ${threeDays})`;

test.each([
  ['nothing', `select $1::text, $2::text`],
  ['the person', `${cutoff('subject', '$1')} returning $2::text`],
  ['the app', `${cutoff('client', '$2')} returning $1::text`],
  [
    'the grant',
    `insert into "grant" (subject, client_id, id, scope, audience, login_born, grant_born,
       last_flow_id, session_id, revoked_at)
     values ($1, $2, gen_random_uuid(), '{}', '{}', 0, 0, gen_random_uuid(), gen_random_uuid(),
       ${threeDays})`,
  ],
])(
  'security 18: a consent withdrawn on its way stays so after a sweep, where %s was revoked days ago',
  async (_, revokedBefore) => {
    const person = newSession({ clientId: id() });
    const { subject, clientId } = person;
    const add = `insert into client (client_id, metadata) values ($1, '{}')`;
    await store.rows.query(add, [clientId]);
    await store.rows.query(revokedBefore, [subject, clientId]);
    const { rows } = await store.rows.query(`select nextval('fact_seq')::int as born`);
    const session = { ...person, loginBorn: Number(rows[0]?.born) };
    await beginSessions(store.database, [session]);
    const accepted = newGrant(session);
    await withdrawConsent(store.database, subject, clientId, 'test');
    await sweepAll(sweepAges.deadSeconds);
    expect(await giveGrants(store.database, [accepted])).toEqual([{ kind: 'dead' }]);
    const anew = newGrant(session, { grantBorn: session.loginBorn + 9 });
    expect(await giveGrants(store.database, [anew])).toMatchObject([{ kind: 'granted' }]);
  },
);

async function sweepAll(deadSeconds: number): Promise<void> {
  const connection = await openSweepConnection(store.urls.server);
  if (connection === undefined) throw new Error('somebody else sweeps');
  for (const { slice } of sweeps) await slice(connection, '', { ...sweepAges, deadSeconds });
  await connection.close();
}

test('R22: what a withdrawal leaves behind is swept, and what kills those that live is not', async () => {
  const session = newSession({ clientId: id() });
  const { subject, clientId } = session;
  await store.rows.query(`insert into client (client_id, metadata) values ($1, '{}')`, [clientId]);
  await beginSessions(store.database, [session]);
  const [flow, unborn, revoked] = [id(), id(), id()];
  await withdrawConsent(store.database, subject, clientId, 'test');
  await withdrawConsentsUnderWay(store.database, subject, 'test');
  await endFlow(store.database, flow);
  await forestall(store.database, 'session', unborn);
  await store.rows.query(`insert into cutoff (kind, target, seq) values ('subject', $1, 7)`, [
    revoked,
  ]);
  await store.rows.query(
    `update chain set created_at = created_at - interval '2 days',
       expires_at = expires_at - interval '2 days', keep_until = keep_until - interval '2 days'
     where id = $1`,
    [flow],
  );
  const left = async () => {
    const { rows } = await store.rows.query<{ name: string }>(
      `select 'grant' as name from "grant" where subject = $1
       union all select 'session' from session where id = $2
       union all select 'chain' from chain where id = $3
       union all select 'cutoff' from cutoff where target = $1
       union all select 'revoked' from cutoff where target = $4`,
      [subject, unborn, flow, revoked],
    );
    return rows.map(({ name }) => name).sort();
  };
  const sweep = async (deadSeconds: number) => {
    await sweepAll(deadSeconds);
    return left();
  };
  expect(await left()).toEqual(['chain', 'cutoff', 'grant', 'revoked', 'session']);
  expect(await sweep(sweepAges.deadSeconds)).toEqual(['cutoff', 'grant', 'revoked', 'session']);
  expect(await sweep(0)).toEqual(['revoked']);
});
