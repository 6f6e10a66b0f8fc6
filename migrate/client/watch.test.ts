import { randomUUID } from 'node:crypto';
import { type LookupFunction, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { query } from '#migrate/testing/databases.ts';
import { type Ground, openGround, where, write } from '#migrate/testing/ground.ts';
import { openDatabases } from './databases.ts';
import { OutcomeUnknown, Unavailable } from './failure.ts';
import { type Side, sides } from './seam.ts';
import type { Session } from './unit.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

// Which side is live, in whatever state both are, and whoever can be reached.

let ground: Ground;
beforeAll(async () => {
  ground = await openGround();
});
afterAll(() => ground.close());
afterEach(() => ground.clear());

describe('rule 1: side and epoch never come again with other rows behind them', () => {
  it('not in a second migration either, for whoever was there through the first', async () => {
    const databases = await ground.openBoth();
    const seen: string[] = [];
    const see = async (side: Side) => {
      await expect.poll(() => databases.state().writable?.side).toBe(side);
      await databases.read(async ({ side, epoch }) => seen.push(`${side} ${epoch}`));
    };
    for (const _ of ['a dry run', 'the real one']) {
      await ground.prepare();
      await expect.poll(() => databases.state().blue.state).toBe('live');
      await see('blue');
      await ground.cross('blue', 'green', 'open');
      await see('green');
      await ground.cross('green', 'blue', 'open');
      await see('blue');
      for (const side of ['blue', 'green'] as const) {
        await ground.admins[side].query('drop schema migrate cascade');
        await expect.poll(() => databases.state()[side].state).toBe('bare');
      }
    }
    expect(seen).toEqual(['blue 1', 'green 2', 'blue 3', 'blue 4', 'green 5', 'blue 6']);
  });
});

describe('rule 4: what is not known stays unknown', () => {
  it('where the question fails, but not where the unit itself answers it', async () => {
    await ground.prepare();
    let answers = 0;
    const proxy = await ground.openProxy(() => answers++ === 0);
    const address = proxy.address();
    const url = new URL(ground.pair.blue);
    url.searchParams.set('host', '127.0.0.1');
    url.port = String(typeof address === 'object' ? address?.port : 0);
    const ask = async (question: (session: Session) => Promise<unknown>) => {
      answers = 0;
      const databases = await ground.openBoth({ blue: { connectionString: url.href } });
      const id = randomUUID();
      let tries = 0;
      const unit = (session: Session) => {
        tries += 1;
        return tries === 1 ? write(id)(session) : question(session);
      };
      return databases.write(unit, { idempotent: true });
    };
    await expect(ask((session) => session.query('select 1 / 0'))).rejects.toBeInstanceOf(
      OutcomeUnknown,
    );
    const refused = ask(() => Promise.reject(new Error('not enough money')));
    await expect(refused).rejects.toThrow('not enough money');
    proxy.close();
  });
});

describe('rule 5: where nobody is heard any more', () => {
  const role = `reader_${process.pid}_${Date.now()}`;
  const limit = (count: number) =>
    ground.admins.blue.query(`alter role ${role} connection limit ${count}`);
  beforeAll(async () => {
    await ground.admins.blue.query(`create role ${role} login password 'reader'`);
  });
  afterAll(() => ground.admins.blue.query(`drop role ${role}`));
  const asReader = (of: string) => {
    const url = new URL(of);
    [url.username, url.password] = [role, 'reader'];
    return { connectionString: url.href, application_name: 'under test', max: 3 };
  };

  it('a read that must never be older is not answered from what was heard before', async () => {
    await ground.prepare(60_000);
    const [blue, green] = [asReader(ground.pair.blue), asReader(ground.pair.green)];
    const databases = await ground.openBoth({ blue, green, waitMs: 300 });
    expect(await databases.read(where, { fresh: true })).toBe('blue');
    // A server that gives no further connections: those that are open go on, but the polls are cut.
    await limit(0);
    await ground.admins.blue.query(
      `select pg_terminate_backend(a.pid, 5000) from pg_stat_activity a
       where a.usename = $1 and a.query like '%migrate.seam%'`,
      [role],
    );
    await ground.cross('blue', 'green', 'open');
    expect(await databases.read(where)).toBe('blue');
    await expect(databases.read(where, { fresh: true })).rejects.toBeInstanceOf(Unavailable);
    await limit(-1);
    expect(await databases.read(where, { fresh: true })).toBe('green');
  });
});

describe('rule 6: no schema migrate, and a side that cannot be reached', () => {
  const nowhere = { connectionString: 'postgres://nobody@127.0.0.1:1/nothing' };

  it('without a migration no statement of a poll fails: each would stand in a log', async () => {
    const failed = async () => {
      const [row] = await query(
        ground.pair.blue,
        `select d.xact_rollback::int as n from pg_stat_database d
         where d.datname = current_database()`,
      );
      return Number(row?.n);
    };
    const before = await failed();
    const databases = await ground.openBoth();
    for (let asked = 0; asked < 20; asked += 1) await databases.read(where, { fresh: true });
    await databases.close();
    // A connection says what it did when it ends.
    await sleep(500);
    expect((await failed()) - before).toBeLessThan(5);
  });

  it('without a migration it is the primary', async () => {
    expect(await (await ground.openBoth()).write(where)).toBe('blue');
    expect(await (await ground.openBoth({ primary: 'green' })).write(where)).toBe('green');
  });

  it('through a whole migration it is the live one, also after finish', async () => {
    await ground.prepare();
    const databases = await ground.openBoth();
    await ground.cross('blue', 'green', 'open');
    expect(await databases.write(where, {})).toBeDefined();
    await expect.poll(() => databases.write(where)).toBe('green');
    await ground.admins.green.query('drop schema migrate cascade');
    await expect.poll(() => databases.state().green.state).toBe('bare');
    expect(await databases.write(where)).toBe('green');
    // Who starts now learns it from the row that is left.
    expect(await (await ground.openBoth()).write(where)).toBe('green');
    await ground.admins.blue.query('drop schema migrate cascade');
    await expect.poll(() => databases.state().blue.state).toBe('bare');
    expect(await databases.write(where)).toBe('green');
  });

  it('one that cannot be reached is not one that is not live', async () => {
    await ground.prepare();
    const databases = await ground.openBoth({ blue: nowhere, waitMs: 300 });
    await expect(databases.write(where)).rejects.toBeInstanceOf(Unavailable);
    await expect(databases.read(where)).rejects.toBeInstanceOf(Unavailable);
    expect(await query(ground.pair.green, 'select c.state from migrate.control c')).toEqual([
      { state: 'copy' },
    ]);
  });

  it('what keeps it from being reached is said, for every address of a host', async () => {
    // A host of two addresses, whatever the names of this machine stand for.
    const lookup: LookupFunction = (_host, _options, answer) =>
      answer(
        null,
        ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 })),
      );
    const stream = () => {
      const socket = new Socket();
      const connect = socket.connect.bind(socket);
      return Object.assign(socket, {
        connect: (port: number, host: string) => connect({ port, host, lookup }),
      });
    };
    const green = { host: 'nowhere.test', port: 1, user: 'nobody', database: 'none', stream };
    const databases = await ground.openBoth({ green });
    expect(databases.state().green.trouble).toMatch(
      /ECONNREFUSED 127\.0\.0\.1:1; .*ECONNREFUSED 127\.0\.0\.2:1/,
    );
  });

  it('a primary that is configured nowhere is refused at once', async () => {
    const green = { connectionString: ground.pair.green };
    await expect(openDatabases({ green, primary: 'blue' })).rejects.toThrow('"primary" is blue');
  });

  it('one that is not live need not be reached', async () => {
    await ground.prepare();
    const databases = await ground.openBoth({ green: nowhere });
    expect(await databases.write(where)).toBe('blue');
  });

  it('swapped connection settings write nowhere', async () => {
    await ground.prepare();
    const databases = await ground.openBoth({
      blue: { connectionString: ground.pair.green },
      green: { connectionString: ground.pair.blue },
      waitMs: 200,
    });
    await expect(databases.write(where)).rejects.toBeInstanceOf(Unavailable);
    expect(databases.state().blue.trouble).toContain('swapped');
  });
});

describe('a tool that died in a switch', () => {
  it('after the retirement: any client opens the other side', async () => {
    await ground.prepare();
    const databases = await ground.openBoth();
    await ground.cross('blue', 'green', 'retired');
    await expect.poll(() => databases.write(where)).toBe('green');
    expect(databases.state().writable).toEqual({ side: 'green', epoch: 2 });
  });

  it('where the other side cannot be opened yet, it is asked as often as it is polled, until it can', async () => {
    await ground.prepare(1_000);
    const databases = await ground.openBoth();
    const { green } = ground.admins;
    // As on a full disk. What a sequence has issued stays issued.
    await green.query(
      `create sequence migrate.asked;
       alter function migrate.open(bytea) rename to open_with_room;
       create function migrate.open(bytea) returns boolean language plpgsql as $$ begin
         perform nextval('migrate.asked');
         raise exception 'could not extend file: No space left on device' using errcode = '53100';
       end $$`,
    );
    await ground.cross('blue', 'green', 'retired');
    const asked = async () => {
      const [row] = await query(
        ground.pair.green,
        'select last_value::int as n from migrate.asked',
      );
      return Number(row?.n);
    };
    await expect.poll(asked).toBeGreaterThan(1);
    const [before, beganMs] = [await asked(), performance.now()];
    await sleep(1_000);
    const perSecond = ((await asked()) - before) / ((performance.now() - beganMs) / 1_000);
    // Ten times a second, as a side in trouble is polled; without rest it would be fifty at least.
    expect(perSecond).toBeLessThan(25);
    await green.query(
      `drop function migrate.open(bytea);
       alter function migrate.open_with_room(bytea) rename to open`,
    );
    await expect.poll(() => databases.write(where)).toBe('green');
  });

  it('before it: any client lifts the fence once its deadline has passed', async () => {
    await ground.prepare();
    const databases = await ground.openBoth();
    await ground.cross('blue', 'green', 'fenced', 1_500);
    await expect.poll(() => databases.state().blue.state).toBe('fenced');
    expect(await databases.write(where)).toBe('blue');
    expect(databases.state().writable).toEqual({ side: 'blue', epoch: 1 });
  });
});

describe('near a switch', () => {
  it('the other side gets connections, with the statements prepared', async () => {
    await ground.prepare();
    const insert = { name: 'entry', text: 'insert into entry values ($1, $2)' };
    const statement = { ...insert, values: [randomUUID(), 'primed'] };
    const databases = await ground.openBoth({ prime: { green: [statement] } });
    await Promise.all([1, 2, 3].map(() => databases.write(where)));
    const count = async () => {
      const [row] = await query(
        ground.pair.green,
        `select count(*)::int as n from pg_stat_activity a
         where a.application_name = 'under test' and a.datname = current_database()`,
      );
      return row?.n;
    };
    expect(await count()).toBe(1);
    for (const side of sides)
      await ground.admins[side].query('update migrate.notice set near = true');
    await expect.poll(count).toBeGreaterThanOrEqual(4);
    expect(await ground.idsIn('green')).toEqual([]);
    await ground.cross('blue', 'green', 'open');
    await expect.poll(() => databases.write(where)).toBe('green');
    const names = await databases.write(async (session) => {
      const prepared = 'select p.name from pg_prepared_statements p';
      return (await session.query<{ name: string }>(prepared)).rows.map(({ name }) => name);
    });
    expect(names).toEqual(['entry']);
  });
});
