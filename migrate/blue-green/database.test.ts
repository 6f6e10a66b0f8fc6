import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate, type Pair, query } from '#migrate/testing/databases.ts';
import { openSession } from './database.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let pair: Pair;
beforeAll(async () => {
  pair = await openBank(10);
});
afterAll(() => pair.close());

/** A setting as the tool's session has it, where the database says `value` by default. */
async function settingWhere(name: string, value: string): Promise<unknown> {
  await query(
    pair.blue,
    `do $$ begin execute format('alter database %I set ${name} = %L', current_database(), '${value}'); end $$`,
  );
  const session = await openSession(pair.blue, 'test', 'plain');
  const { rows } = await session.query<{ setting: string }>(
    'select current_setting($1) as setting',
    [name],
  );
  await session.end();
  return rows[0]?.setting;
}

it('the tool commits to disk, whatever the database has as its default', async () => {
  expect(await settingWhere('synchronous_commit', 'off')).toBe('on');
  expect(await settingWhere('synchronous_commit', 'local')).toBe('on');
  expect(await settingWhere('synchronous_commit', 'remote_apply')).toBe('remote_apply');
});

it('values look the same, whatever the database has as its default', async () => {
  expect(await settingWhere('datestyle', 'German, DMY')).toBe('ISO, YMD');
  expect(await settingWhere('timezone', 'Asia/Tokyo')).toBe('UTC');
});

it('no timeout of the database ends the tool, and none of its policies hides a row', async () => {
  expect(await settingWhere('idle_session_timeout', '1s')).toBe('0');
  expect(await settingWhere('lock_timeout', '1ms')).toBe('0');
  expect(await settingWhere('row_security', 'on')).toBe('off');
  expect(await settingWhere('default_transaction_read_only', 'on')).toBe('off');
});

it('plan warns of a server that does not keep what it commits', async () => {
  const [row] = await query(pair.blue, "select current_setting('fsync') as fsync");
  const said = await migrate(pair, 'plan');
  expect(said.includes('blue: fsync is off')).toBe(row?.fsync === 'off');
});
