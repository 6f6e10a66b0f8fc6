import { randomInt } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '#server/testing/harness.ts';
import { type Deployment, deploy } from '../deployment.ts';
import { redeem, refresh, signIn } from '../login-app.ts';
import { answers } from './answers.ts';
import { deeds } from './deeds.ts';
import { active, type Deed, ok, type Stage, someone } from './stage.ts';

// Node A lives. Node B is armed with one failpoint, is asked for one thing, and dies of it.
let database: TestDatabase;
let env: Readonly<Record<string, string>>;
let a: Deployment;
let owner: pg.Client;
let stage: Stage;

beforeAll(async () => {
  database = await createTestDatabase();
  owner = new pg.Client({ connectionString: database.urls.owner });
  await owner.connect();
  a = await deploy({ database, env: { GATEHOUSE_SIGN_UP: 'on' } });
  env = {
    GATEHOUSE_ISSUER: a.issuer,
    GATEHOUSE_DATA_DIR: a.server.dataDir,
    GATEHOUSE_ADMIN_TOKEN: a.server.adminToken,
    GATEHOUSE_SIGN_UP: 'on',
  };
  stage = {
    a,
    app: await a.register(),
    jwtApp: await a.register({ access_token_strategy: 'jwt' }),
    ask: async (text, values) => (await owner.query(text, [...values])).rows,
  };
});
afterAll(async () => {
  // One whose test failed before it was stopped.
  for (const node of started) await node.close();
  await a?.close();
  await owner?.end();
  await database?.close();
});

const started: Deployment[] = [];

/** Starts node B. */
async function armed(over: Readonly<Record<string, string>> = {}): Promise<Deployment> {
  const b = await deploy({ database, env: { ...env, ...over } });
  started.push(b);
  return b;
}

const moments = ['before', 'sent', 'after'];
/** In the long form every moment, else one by chance: half a minute. */
const isLong = inject('kills') >= 100;
const points = [
  ...Object.keys(deeds).flatMap((name) =>
    (isLong ? moments : [moments[randomInt(3)] ?? 'after']).map((moment) => `${name}.${moment}`),
  ),
  ...Object.keys(answers),
  ...['before', 'sent', 'after'].slice(0, isLong ? 3 : 1).map((moment) => `audit_insert.${moment}`),
];

/** Asks B, which dies of it; gives what A then sees, and what it answers to the same. */
async function dieOf(point: string, deed: Deed): Promise<boolean | undefined> {
  // The first of these in a process belong to its start.
  const visit = /^(audit_insert|control_raise)/.test(point) ? '@2' : '';
  const failpoints = { GATEHOUSE_INSECURE_FAILPOINTS: `${point}=kill${visit}` };
  const b = await armed(failpoints);
  expect(b.server.output()).toContain('INSECURE_FAILPOINTS is set');
  const told = await deed.act(b).catch(() => undefined);
  expect(told, 'an answer of a process that was to die').toBeUndefined();
  expect(await b.server.stop(), 'the exit code of a process that was killed').toBeNull();
  const happened = await deed.happened?.();
  expect((await deed.act(a)).status, 'the same, asked of A').toBeLessThan(500);
  return happened;
}

describe('a process that is killed at a failpoint', () => {
  test.each(points)(
    '%s: all of it happened or nothing, and it can be asked again',
    async (point) => {
      const [name = '', moment = ''] = point.split('.');
      // The audit entry is made before the change: without it nothing happens.
      const make = name === 'audit_insert' ? deeds.insert_client : (answers[point] ?? deeds[name]);
      if (make === undefined) throw new Error(`no deed for ${point}`);
      const happened = await dieOf(point, await make(stage));
      if (happened === undefined || moment === 'sent') return;
      expect(happened).toBe(name !== 'audit_insert' && moment !== 'before');
    },
  );

  test('control: without a failpoint B answers, and it happens', async () => {
    const deed = await deeds.revoke?.(stage);
    const b = await armed();
    expect((await deed?.act(b))?.status).toBe(200);
    expect(await b.server.stop()).toBe(0);
    expect(await deed?.happened?.()).toBe(true);
    const form = { grant_type: 'client_credentials' };
    expect(ok(await a.postAs(stage.app, '/oauth2/token', form))).toBe(true);
  });
});

describe('a process whose statements fail', () => {
  const failing = [
    'revoke.before',
    'delete_client.before',
    'insert_client.before',
    'redeem.before',
  ];
  test('what was not committed is not acknowledged', async () => {
    const failpoints = failing.map((point) => `${point}=error`).join(',');
    const b = await armed({ GATEHOUSE_INSECURE_FAILPOINTS: failpoints });
    for (const name of ['revoke', 'delete_client', 'insert_client', 'redeem']) {
      const deed = await deeds[name]?.(stage);
      const answer = await deed?.act(b);
      expect([answer?.status, answer?.headers.has('retry-after')], name).toEqual([503, true]);
      expect(await deed?.happened?.(), name).toBe(false);
    }
    await b.close();
  });

  test('an answer of PostgreSQL that is lost is asked for again, and the first try counts', async () => {
    const failpoints = ['redeem', 'refresh'].map((name) => `${name}.after=error@1`).join(',');
    const b = await armed({ GATEHOUSE_INSECURE_FAILPOINTS: failpoints });
    const signedIn = await signIn(a, stage.app, someone());
    const redeemed = await redeem(b, stage.app, signedIn);
    expect(redeemed.status).toBe(200);
    const refreshed = await refresh(b, stage.app, String(redeemed.body.refresh_token));
    expect(refreshed.status).toBe(200);
    expect(await active(stage, String(refreshed.body.access_token))).toBe(true);
    await b.close();
  });
});
