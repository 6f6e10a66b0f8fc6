import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { getClient, listClients } from '#server/store/client.ts';
import { areDead, poll } from '#server/store/fact.ts';
import { readReference } from '#server/store/flow-reference.ts';
import { giveGrants } from '#server/store/grant.ts';
import { redeemCodes } from '#server/store/redemption.ts';
import { refreshChains } from '#server/store/refresh.ts';
import { grantIdsOf, revokeAll, sessionIdsOf } from '#server/store/revocation.ts';
import { beginSessions, resumeSession } from '#server/store/session.ts';
import {
  endLoginsUnderWay,
  withdrawConsent,
  withdrawConsentsUnderWay,
} from '#server/store/withdrawal.ts';
import {
  newAttempt,
  newChain,
  newGrant,
  newMortal,
  newSession,
  openTestStore,
  type TestStore,
} from '#server/testing/records.ts';
import { readChainClient, readClaimsOf, readLiveChain } from './chain.ts';
import { type Database, isUnavailable, plannerOptions, type Statement } from './database.ts';

let store: TestStore;
let planner: pg.Client;
beforeAll(async () => {
  store = await openTestStore();
  planner = new pg.Client({ connectionString: store.urls.server, options: plannerOptions });
  await planner.connect();
});
afterAll(async () => {
  await planner?.end();
  await store?.close();
});

const session = newSession();
const grant = newGrant(session);
const chain = newChain(grant);
const mortal = newMortal({ chainId: chain.id, grantId: grant.id, sessionId: session.id });

/** What each request of the hot path asks PostgreSQL, and what holds the lock of the facts. */
const hotPath: readonly (readonly [string, (database: Database) => Promise<unknown>])[] = [
  ['session_begin', (on) => beginSessions(on, [session])],
  ['session_resume', (on) => resumeSession(on, session.id, 'app')],
  ['grant_give', (on) => giveGrants(on, [grant])],
  ['redeem', (on) => redeemCodes(on, [chain])],
  ['refresh', (on) => refreshChains(on, [newAttempt(chain)])],
  [
    'revoke',
    (on) => revokeAll(on, [{ kind: 'chain', target: chain.id, reason: 'r', expiresAt: null }]),
  ],
  ['fact_kills', (on) => areDead(on, [mortal])],
  ['feed_poll', (on) => on.query(poll, [0])],
  ['chain_live', (on) => readLiveChain(on, chain.id, 0)],
  ['chain_claims', (on) => readClaimsOf(on, chain.id)],
  ['chain_owner', (on) => readChainClient(on, chain.id)],
  ['flow_reference_read', (on) => readReference(on, chain.id)],
  ['grants_of', (on) => grantIdsOf(on, session.subject, null, null)],
  ['sessions_of', (on) => sessionIdsOf(on, session.subject)],
  ['get_client', (on) => getClient(on, 'app')],
  ['list_clients_by_name', (on) => listClients(on, '', { name: 'n', owner: 'o' }, 9)],
  ['list_clients_by_owner', (on) => listClients(on, '', { name: undefined, owner: 'o' }, 9)],
  ['consent_withdraw', (on) => withdrawConsent(on, session.subject, 'app', 'r')],
  ['cut_consents', (on) => withdrawConsentsUnderWay(on, session.subject, 'r')],
  ['cut_logins', (on) => endLoginsUnderWay(on, session.subject, 'r')],
];

/** The statements that `work` runs where nothing is found, so what explains a refusal as well. */
async function statementsOf(
  work: (database: Database) => Promise<unknown>,
): Promise<readonly Statement[]> {
  const asked: Statement[] = [];
  const recorder: Database = {
    ...store.database,
    async query<Row extends pg.QueryResultRow>(statement: Statement) {
      asked.push(statement);
      const none: Row[] = [];
      return none;
    },
  };
  await work(recorder);
  return asked;
}

function isProbe(node: PlanNode): boolean {
  const cond = node['Index Cond'] ?? node['Recheck Cond'] ?? '';
  return cond !== '' && (node['Relation Name'] !== 'cutoff' || cond.includes('target'));
}

interface PlanNode {
  readonly 'Recheck Cond'?: string;
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** Every node of the generic plan that reads a table. */
async function readsOf({ text }: Statement): Promise<readonly PlanNode[]> {
  // Not `explain (generic_plan)`, which PostgreSQL 15 has not; plannerOptions ask for one anyhow.
  const nulls = Array.from({ length: parametersOf(text) }, () => 'null').join(', ');
  await planner.query(`prepare looked_at as ${text}`);
  const { rows } = await planner.query(
    `explain (format json) execute looked_at${nulls === '' ? '' : ` (${nulls})`}`,
  );
  await planner.query('deallocate looked_at');
  const root: PlanNode = rows[0]['QUERY PLAN'][0].Plan;
  const walk = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(walk)];
  return walk(root).filter((node) => /Scan$/.test(node['Node Type']) && node['Relation Name']);
}

function parametersOf(text: string): number {
  return Math.max(0, ...[...text.matchAll(/\$(\d+)/g)].map((found) => Number(found[1])));
}

/** Tables that a statement reads other than by an index condition; `control` has one row. */
async function scansOf(statement: Statement): Promise<readonly string[]> {
  const reads = await readsOf(statement);
  return reads
    .filter((node) => node['Relation Name'] !== 'control')
    .filter((node) => !isProbe(node))
    .map((node) => `${node['Node Type']} on ${node['Relation Name']}`);
}

/** Adds rows to every table, numbered from `from` on, and lets the planner know. */
async function fill(from: number, to: number): Promise<void> {
  const many = `generate_series(${from}, ${to}) i`;
  await store.rows.query(
    `insert into session (id, subject, login_born, authenticated_at, remember, expires_at)
     select gen_random_uuid(), 'user-' || i % 5000, 0, now(), false, now() + interval '1 day'
     from ${many}`,
  );
  await store.rows.query(
    `insert into "grant" (subject, client_id, id, scope, audience, login_born, grant_born,
       last_flow_id, session_id)
     select 'user-' || i, 'app-' || i, gen_random_uuid(), '{openid}', '{}', 0, 0,
       gen_random_uuid(), gen_random_uuid()
     from ${many}`,
  );
  await store.rows.query(
    `insert into chain (id, client_id, subject, grant_id, session_id, online, refreshable,
       attempt, mac_kid, scope, audience, login_born, grant_born, authenticated_at, expires_at,
       keep_until)
     select gen_random_uuid(), 'app', 'user-' || i, gen_random_uuid(), gen_random_uuid(), false,
       true, gen_random_uuid(), 'mac', '{openid}', '{}', 0, 0, now(), now() + interval '1 day',
       now() + interval '1 day'
     from ${many}`,
  );
  await store.rows.query(
    `insert into fact (seq, kind, target, expires_at)
     select nextval('fact_seq'), 'token', gen_random_uuid()::text, now() + interval '1 hour'
     from ${many}`,
  );
  await store.rows.query(
    `insert into cutoff (kind, target, seq) select 'subject', 'user-' || i, i from ${many}`,
  );
  await store.rows.query(
    `insert into client (client_id, metadata) select 'app-' || i, '{}' from ${many}`,
  );
  await store.rows.query(
    `insert into client_secret (id, client_id, scheme, pepper_kid, hash)
     select gen_random_uuid(), 'app-' || i, 'hmac', 'k', decode(repeat('00', 32), 'hex')
     from ${many}`,
  );
  await store.rows.query(
    `insert into flow_reference (id, sealed, expires_at)
     select gen_random_uuid(), decode(repeat('00', 16), 'hex'), now() + interval '1 hour'
     from ${many}`,
  );
  await store.rows.query('analyze');
}

describe('every statement of the hot path reaches its rows by an index', () => {
  // The same rule twice: a plan is made once per connection, often while the tables are empty.
  test.each(hotPath)('%s, planned on empty tables', async (name, work) => {
    const statements = await statementsOf(work);
    expect(statements[0]?.name).toBe(name);
    for (const statement of statements) expect(await scansOf(statement)).toEqual([]);
  });

  test.each([
    ['a few rows', 1, 20],
    ['many rows', 21, 20_000],
  ])(
    'and planned on tables of %s',
    async (_, from, to) => {
      await fill(from, to);
      for (const [, work] of hotPath) {
        for (const statement of await statementsOf(work)) {
          expect.soft(await readsOf(statement), statement.name).not.toEqual([]);
          expect.soft(await scansOf(statement), statement.name).toEqual([]);
        }
      }
    },
    60_000,
  );

  test('control: without an index the same look sees the scan', async () => {
    const unindexed: Statement = {
      name: 'unindexed',
      text: 'select c.id from chain c where c.subject = $1',
    };
    expect(await scansOf(unindexed)).toEqual(['Seq Scan on chain']);
  });
});

describe('what an outage is', () => {
  test('a statement that is wrong is a fault of ours, and not taken for an outage', async () => {
    const wrong = { name: 'wrong', text: 'select c.nothing from chain c' };
    await expect(store.database.query(wrong, [])).rejects.toMatchObject({ code: '42703' });
  });

  test('a connection that is ended by an administrator is an outage, and the next one works', async () => {
    const sleeper = { name: 'sleeper', text: 'select pg_sleep(30), $1::text' };
    const superuser = new pg.Client({ connectionString: store.urls.superuser });
    await superuser.connect();
    const asleep = store.database.query(sleeper, ['x']).catch((error: unknown) => error);
    for (let ended = 0; ended === 0; ) {
      const { rows } = await superuser.query(
        `select count(pg_terminate_backend(a.pid))::int as ended from pg_stat_activity a
         where a.datname = current_database() and a.wait_event = 'PgSleep'`,
      );
      ended = rows[0].ended;
    }
    await superuser.end();
    expect(await asleep).toMatchObject({ name: 'DatabaseUnavailable', answerLost: true });
    expect(await grantIdsOf(store.database, 'ann', null, null)).toEqual([]);
  });
});

test('a lock that others hold for too long is an outage: not applied, and PostgreSQL is there', async () => {
  await store.rows.query('begin');
  await store.rows.query('lock table client');
  const outcome = await getClient(store.database, 'app').catch((error: unknown) => error);
  await store.rows.query('rollback');
  const expected = { name: 'DatabaseUnavailable', contended: true, answerLost: false };
  expect(outcome).toMatchObject({ ...expected, cause: { code: '55P03' } });
});

test.each(['EPIPE', 'ECONNRESET', '57P01', '08006', '25006'])(
  'an error %s says that the database is away',
  (code) => expect(isUnavailable(Object.assign(new Error('failed'), { code }))).toBe(true),
);

test.each(['23505', '22P05', '40P01', 'P0001', 'XX000'])('control: an error %s does not', (code) =>
  expect(isUnavailable(Object.assign(new Error('failed'), { code }))).toBe(false),
);
