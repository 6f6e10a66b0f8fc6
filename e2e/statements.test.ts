import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Deployment, deploy, type RegisteredClient } from './deployment.ts';
import { connect, redeem, refresh, signIn, tokensOf } from './login-app.ts';

/** Statements as PostgreSQL counted them, by queryid. */
type Counts = ReadonlyMap<string, { readonly calls: number; readonly query: string }>;

let deployment: Deployment;
let app: RegisteredClient;
let superuser: pg.Client;

beforeAll(async () => {
  deployment = await deploy();
  superuser = new pg.Client({ connectionString: deployment.server.database.urls.superuser });
  await superuser.connect();
  await superuser.query('create extension if not exists pg_stat_statements');
  app = await deployment.register();
  // Warm: keys, clients and plans are where they will be from the second login on.
  for (let round = 0; round < 3; round += 1) await once();
});
afterAll(async () => {
  await superuser?.end();
  await deployment?.close();
});

const someone = () => ({ login: { subject: `user-${randomUUID()}` } });

async function once() {
  const tokens = await connect(deployment, app, someone());
  const next = tokensOf(await refresh(deployment, app, tokens.refresh));
  await deployment.introspect(next.access);
  await deployment.userinfo(next.access);
  return next;
}

/** What the server's role has run in this database so far. */
async function counted(): Promise<Counts> {
  const { rows } = await superuser.query<{ queryid: string; calls: string; query: string }>(
    `select s.queryid::text, s.calls::text, s.query
     from pg_stat_statements s
     join pg_database d on d.oid = s.dbid and d.datname = current_database()
     join pg_roles r on r.oid = s.userid and r.rolname <> current_user`,
  );
  return new Map(rows.map((row) => [row.queryid, { calls: Number(row.calls), query: row.query }]));
}

/** The first words of a statement, on one line. */
function headline(query: string): string {
  return query.replaceAll(/\s+/g, ' ').trim().slice(0, 72);
}

interface Cost {
  /** Statements less the shared poll of the feed. */
  readonly calls: number;
  readonly polls: number;
  readonly table: string;
}

/** Counts the statements that `work` makes the server run. */
async function costOf(work: () => Promise<unknown>): Promise<Cost> {
  const before = await counted();
  await work();
  const after = await counted();
  const rows = [...after].flatMap(([queryid, { calls, query }]) => {
    const more = calls - (before.get(queryid)?.calls ?? 0);
    return more === 0 ? [] : [{ queryid, calls: more, query, poll: queryid === pollId(after) }];
  });
  const sum = (poll: boolean) =>
    rows.filter((row) => row.poll === poll).reduce((total, row) => total + row.calls, 0);
  const table = rows
    .map(
      (row) =>
        `${String(row.calls).padStart(6)}  ${row.poll ? 'poll' : '    '}  ${headline(row.query)}`,
    )
    .join('\n');
  return { calls: sum(false), polls: sum(true), table };
}

/** The one statement that reads `control` together with the facts after a cursor. */
function pollId(counts: Counts): string {
  const polls = [...counts].filter(([, { query }]) =>
    /from control o\s+left join lateral/.test(query),
  );
  const [only] = polls;
  if (only === undefined || polls.length > 1) throw new Error(`${polls.length} polls`);
  return only[0];
}

const many = 20;

/** The same, many times one after the other, so that what runs by the hour does not hide in it. */
async function average(what: string, work: () => Promise<unknown>): Promise<number> {
  const cost = await costOf(async () => {
    for (let round = 0; round < many; round += 1) await work();
  });
  console.log(`${what}, ${many} times:\n  calls        statement\n${cost.table}`);
  return cost.calls / many;
}

describe('R3: statements, by pg_stat_statements less the poll of the feed (warm caches)', () => {
  test('a whole first login with consent, refresh token and ID token: 3', async () => {
    const calls = await average('first login', async () => {
      const tokens = await connect(deployment, app, someone());
      expect([tokens.access, tokens.refresh, tokens.id].map((token) => token !== '')).toEqual([
        true,
        true,
        true,
      ]);
    });
    expect(calls).toBeLessThanOrEqual(4);
    expect(Math.round(calls * 10) / 10).toBe(3);
  });

  test('a code redemption: 1', async () => {
    const people = await Promise.all(
      Array.from({ length: many }, () => signIn(deployment, app, someone())),
    );
    const calls = await average('redemption', async () => {
      const signedIn = people.pop();
      if (signedIn === undefined) throw new Error('nobody is left');
      expect((await redeem(deployment, app, signedIn)).status).toBe(200);
    });
    expect(calls).toBe(1);
  });

  test('a refresh: 1', async () => {
    const state = { token: (await connect(deployment, app, someone())).refresh };
    const calls = await average('refresh', async () => {
      state.token = tokensOf(await refresh(deployment, app, state.token)).refresh;
    });
    expect(calls).toBe(1);
  });

  test('introspection and userinfo of an access token: 0', async () => {
    const { access } = await once();
    const introspections = await average('introspection', async () => {
      expect(await deployment.introspect(access)).toMatchObject({ active: true });
    });
    expect(introspections).toBe(0);
    const userinfos = await average('userinfo', async () => {
      expect((await deployment.userinfo(access)).status).toBe(200);
    });
    expect(userinfos).toBe(0);
  });

  test('introspection of a JWT access token: 0', async () => {
    const jwtApp = await deployment.register({ access_token_strategy: 'jwt' });
    const { access } = await connect(deployment, jwtApp, someone());
    await deployment.introspect(access);
    const calls = await average('introspection of a JWT', async () => {
      expect(await deployment.introspect(access)).toMatchObject({ active: true });
    });
    expect(calls).toBe(0);
  });

  test('many at once share statements: 100 refreshes take fewer than 100', async () => {
    const families = await Promise.all(
      Array.from({ length: 100 }, () => connect(deployment, app, someone())),
    );
    const cost = await costOf(() =>
      Promise.all(families.map((one) => refresh(deployment, app, one.refresh))),
    );
    console.log(`100 refreshes at once:\n${cost.table}`);
    expect(cost.calls).toBeLessThan(100);
  });

  test('control: introspecting a refresh token reads its row, and is seen', async () => {
    const { refresh: refreshToken } = await once();
    const calls = await average('introspection of a refresh token', () =>
      deployment.introspect(refreshToken),
    );
    expect(calls).toBe(1);
  });
});
