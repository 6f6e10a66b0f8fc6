import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testPort } from '#server/testing/harness.ts';
import { finishProgram } from '#server/testing/program.ts';
import { type Deployment, deploy } from './deployment.ts';
import { claimsOf, connect } from './login-app.ts';

// One deployment of two machines, each with a data directory of its own.
let first: Deployment;
let dataDir: string;
let env: Readonly<Record<string, string>>;
const started: Deployment[] = [];

beforeAll(async () => {
  first = await deploy();
  dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-second-'));
  await copyFile(join(first.server.dataDir, 'master-key'), join(dataDir, 'master-key'));
  env = { GATEHOUSE_DATA_DIR: dataDir, GATEHOUSE_ISSUER: first.issuer };
});
afterAll(async () => {
  for (const node of started) await node.close();
  await first?.close();
  await rm(dataDir, { recursive: true, force: true });
});

const program = async (args: readonly string[]) =>
  finishProgram(args, {
    ...env,
    GATEHOUSE_DATABASE_URL: first.server.database.urls.server,
    GATEHOUSE_DATABASE_OWNER_URL: first.server.database.urls.owner,
    GATEHOUSE_PUBLIC_PORT: String(await testPort()),
    GATEHOUSE_ADMIN_PORT: String(await testPort()),
    GATEHOUSE_SAMPLE_PORT: 'off',
  });

async function second(): Promise<Deployment> {
  const node = await deploy({ database: first.server.database, env });
  started.push(node);
  return node;
}

async function subOf(node: Deployment): Promise<unknown> {
  const client = await node.register({ client_id: 'pairwise-app', subject_type: 'pairwise' });
  const tokens = await connect(node, client, { login: { subject: 'ana' } });
  await node.admin('DELETE', '/admin/clients/pairwise-app');
  return claimsOf(tokens.id).sub;
}

async function storedSalt(): Promise<Buffer> {
  const owner = new pg.Client({ connectionString: first.server.database.urls.owner });
  await owner.connect();
  const { rows } = await owner.query('select o.pairwise_salt from control o');
  await owner.end();
  return rows[0]?.pairwise_salt;
}

test('a node with another pairwise salt does not start, unless that is what somebody wants', async () => {
  const before = await subOf(first);
  const stored = await storedSalt();
  expect(stored).toHaveLength(69);
  // It made a salt of its own, and nothing else shows.
  const refused = await program(['serve']);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringContaining('The pairwise salt is not the one of this deployment'),
  ]);
  expect(await storedSalt()).toEqual(stored);

  // Control: with the same salt it starts, and says the same of everybody.
  const salt = join(dataDir, 'pairwise-salt');
  await copyFile(salt, `${salt}.own`);
  await copyFile(join(first.server.dataDir, 'pairwise-salt'), salt);
  const node = await second();
  expect(await subOf(node)).toBe(before);
  await node.close();

  // On purpose.
  await copyFile(`${salt}.own`, salt);
  const asked = await program(['pairwise-salt', 'forget']);
  expect([asked.code, asked.stdout]).toEqual([1, expect.stringContaining('Nothing was changed')]);
  expect((await program(['serve'])).code).toBe(1);
  expect((await program(['pairwise-salt', 'forget', '--yes'])).code).toBe(0);
  const changed = await second();
  expect(await subOf(changed)).not.toBe(before);
  const action = 'pairwise_salt.forget';
  const entries = await changed.admin('GET', `/admin/audit?action=${action}`);
  expect(entries.list.map(({ outcome }) => outcome)).toEqual(['done']);
}, 120_000);
