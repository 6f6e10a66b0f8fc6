import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { mapping } from '#migrate/example/bank.mapping.ts';
import { openBank } from '#migrate/testing/bank.ts';
import { migrate, type Pair, query } from '#migrate/testing/databases.ts';
import { openDatabase, openSession } from './database.ts';
import { atExactPoint, withEnds } from './follow.ts';
import { parseMapping } from './mapping.ts';
import { resolveMapping } from './resolve.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const bank = parseMapping(mapping, 'bank');
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
  expect(await settingWhere('lc_monetary', 'POSIX')).toBe('C');
});

it('no timeout of the database ends the tool, and none of its policies hides a row', async () => {
  expect(await settingWhere('idle_session_timeout', '1s')).toBe('0');
  expect(await settingWhere('lock_timeout', '1ms')).toBe('0');
  expect(await settingWhere('row_security', 'on')).toBe('off');
  expect(await settingWhere('default_transaction_read_only', 'on')).toBe('off');
});

it('the snapshot of an exact point lasts as long as the work there, whatever the limit of idle time', async () => {
  await migrate(pair, 'prepare');
  await migrate(pair, 'copy');
  const opened = await Promise.all(
    (['blue', 'green'] as const).map((side) =>
      openDatabase(side, pair[side], 'test', 'work', () => {}),
    ),
  );
  const [blue, green] = opened;
  if (blue === undefined || green === undefined) throw new Error('no databases');
  try {
    const { forward } = await resolveMapping(bank, blue, green);
    const seen = await withEnds(forward, async (ends) => {
      await ends.origin.query("set idle_in_transaction_session_timeout = '2500ms'");
      const shown = async () => {
        const { rows } = await ends.origin.query<{ at: string }>(
          'select pg_current_snapshot()::text as at',
        );
        return rows[0]?.at;
      };
      return atExactPoint(ends, forward, async () => {
        const before = await shown();
        await ends.destination.query('select pg_sleep(4)');
        return [before, await shown()];
      });
    });
    expect(seen[0]).toBe(seen[1]);
  } finally {
    await Promise.all(opened.map((database) => database.close()));
  }
});

it('plan warns of a server that does not keep what it commits', async () => {
  const [row] = await query(pair.blue, "select current_setting('fsync') as fsync");
  const said = await migrate(pair, 'plan');
  expect(said.includes('blue: fsync is off')).toBe(row?.fsync === 'off');
});
