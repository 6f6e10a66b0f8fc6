import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrationOf, readMigrations } from '#migrate/online/migration.ts';
import { watchWaits } from '#migrate/online/proof/lock-waits.ts';
import { up } from '#migrate/online/runner.ts';
import { type Deployment, deploy, type RegisteredClient } from './deployment.ts';
import { connect, refresh, tokensOf } from './login-app.ts';

let deployment: Deployment;
let app: RegisteredClient;

beforeAll(async () => {
  deployment = await deploy();
  app = await deployment.register();
});
afterAll(() => deployment?.close());

/** Signs somebody in, refreshes, asks and revokes; gives how long each part took. */
async function once(): Promise<readonly number[]> {
  const times: number[] = [];
  const timed = async <T>(work: Promise<T>): Promise<T> => {
    const begun = performance.now();
    const result = await work;
    times.push(performance.now() - begun);
    return result;
  };
  const login = { login: { subject: `user-${randomUUID()}` } };
  const tokens = await timed(connect(deployment, app, login));
  const next = tokensOf(await timed(refresh(deployment, app, tokens.refresh)));
  const asked = await timed(deployment.introspect(next.access));
  expect(asked).toMatchObject({ active: true });
  return times;
}

const shipped = () => readMigrations(fileURLToPath(new URL('../server/schema', import.meta.url)));
const nextSql = () =>
  readFile(fileURLToPath(new URL('../server/testing/next.expand.sql', import.meta.url)), 'utf8');

test('R8: the next schema is put under a server that signs people in; nothing fails, nothing stalls', async () => {
  const before: number[] = [];
  for (let round = 0; round < 8; round += 1) before.push(...(await once()));
  const state = { over: false };
  const during: number[] = [];
  const use = async () => {
    while (!state.over) during.push(...(await once()));
  };
  const users = [use(), use()];
  const told: string[] = [];
  const watch = await watchWaits(deployment.server.database.urls.superuser, 'next-release');
  await up({
    url: deployment.server.database.urls.owner,
    migrations: [...(await shipped()), migrationOf('9000_next.expand.sql', await nextSql())],
    applicationName: 'next-release',
    lockKey: 428_346_873,
    tell: ({ sentence }) => told.push(sentence),
  });
  for (let round = 0; round < 3; round += 1) during.push(...(await once()));
  state.over = true;
  await Promise.all(users);
  expect(told.at(-1)).toBe('applied migration 9000_next (expand)');
  const waited = await watch.stop();
  const worst = Math.max(...during);
  const usual = Math.max(...before);
  console.log(
    `slowest part of a login: ${Math.round(usual)} ms before, ${Math.round(worst)} ms during ` +
      `(${during.length} parts); waited ${Math.round(waited)} ms at most for a lock of the migration`,
  );
  expect(during.length).toBeGreaterThan(10);
  // A lock is asked for at most 500 ms at a time. What is longer than that was not a lock.
  expect(waited).toBeLessThan(600);
}, 120_000);

test('R8: release N starts on schema N + 1 and does on it what it did before', async () => {
  const second = await deploy({
    database: deployment.server.database,
    env: { GATEHOUSE_DATA_DIR: deployment.server.dataDir },
  });
  try {
    const status = await second.server.output();
    expect(status).not.toContain('too old');
    const client = await second.register();
    const tokens = await connect(second, client, { login: { subject: 'somebody-new' } });
    expect(await second.introspect(tokens.access)).toMatchObject({ active: true });
  } finally {
    await second.close();
  }
}, 60_000);
