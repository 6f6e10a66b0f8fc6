import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import {
  connect as connectTo,
  createServer,
  type LookupFunction,
  type Server,
  Socket,
} from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  fence,
  hold,
  insertControl,
  makeId,
  makeOpeningKey,
  makeReady,
  open,
  release,
  retire,
} from '#migrate/blue-green/control.ts';
import { openEmptyPair } from '#migrate/testing/bank.ts';
import { type Pair, query } from '#migrate/testing/databases.ts';
import { type Databases, type DatabasesOptions, openDatabases } from './databases.ts';
import { OutcomeUnknown, Unavailable } from './failure.ts';
import { type Side, sides } from './seam.ts';
import type { Session } from './unit.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

// Two databases with control rows and a guarded table, moved by the tool's own statements.
let pair: Pair;
let admins: Record<Side, pg.Client>;
let opened: Databases[] = [];
const control = new URL('../blue-green/control.sql', import.meta.url);

beforeAll(async () => {
  pair = await openEmptyPair();
  admins = { blue: await connect('blue'), green: await connect('green') };
  for (const side of sides) {
    await admins[side].query('create table entry (id uuid primary key, text text not null)');
  }
});
afterAll(async () => {
  for (const side of sides) await admins[side].end();
  await pair.close();
});
beforeEach(async () => {
  for (const side of sides) {
    await admins[side].query('drop schema if exists migrate cascade; truncate entry');
  }
});
afterEach(async () => {
  for (const one of opened) await one.close();
  opened = [];
});

async function connect(side: Side): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: pair[side] });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** As `migrate prepare` leaves both; clients poll every 20 ms, so that tests need not wait. */
async function prepare(pollMs = 20): Promise<void> {
  const sql = await readFile(control, 'utf8');
  const migrationId = makeId();
  for (const side of sides) {
    const [state, epoch] = side === 'blue' ? (['live', 1] as const) : (['copy', 0] as const);
    await admins[side].query(sql);
    await insertControl(admins[side], { migrationId, mapping: 'entries', side, state, epoch });
    await admins[side].query(
      `update migrate.notice set poll_ms = ${pollMs};
       create trigger migrate_guard before insert or update or delete or truncate on entry
         for each statement execute function migrate.guard();
       alter table entry enable always trigger migrate_guard`,
    );
  }
}

/** A switch, up to and with the step that is named. */
async function cross(from: Side, to: Side, until: 'fenced' | 'retired' | 'open', fenceMs = 5_000) {
  const { rows } = await admins[from].query('select c.epoch::int as epoch from migrate.control c');
  const { key, lock } = makeOpeningKey();
  const fenceId = makeId();
  await makeReady(admins[to], lock, rows[0].epoch + 1);
  expect(await fence(admins[from], fenceId, fenceMs)).toBe(true);
  if (until === 'fenced') return;
  // What the tool transfers between the two steps.
  const entries = await admins[from].query('select e.id, e.text from entry e');
  await admins[to].query('alter table entry disable trigger migrate_guard');
  for (const { id, text } of entries.rows) {
    await admins[to].query('insert into entry values ($1, $2) on conflict do nothing', [id, text]);
  }
  await admins[to].query('alter table entry enable always trigger migrate_guard');
  expect(await retire(admins[from], fenceId, key)).toBe(true);
  if (until === 'open') await open(admins[to], key);
}

async function openBoth(options: Partial<DatabasesOptions> = {}): Promise<Databases> {
  const databases = await openDatabases({
    blue: { connectionString: pair.blue, application_name: 'under test', max: 3 },
    green: { connectionString: pair.green, application_name: 'under test', max: 3 },
    primary: 'blue',
    ...options,
  });
  opened.push(databases);
  return databases;
}

/** A unit that looks for its own id before it does anything. */
const write = (id: string) => async (session: Session) => {
  await session.query("insert into entry values ($1, 'written') on conflict do nothing", [id]);
  return session.side;
};
const where = async (session: Session) => session.side;
const idsIn = async (side: Side) =>
  (await query(pair[side], 'select e.id from entry e')).map(({ id }) => id);

describe('rule 1: a unit of work is pinned to one side', () => {
  it('has its side and epoch, and ends with its transaction', async () => {
    await prepare();
    const databases = await openBoth();
    let kept: Session | undefined;
    await databases.write(async (session) => {
      kept = session;
      expect([session.side, session.epoch]).toEqual(['blue', 1]);
    });
    await expect(kept?.query('select 1')).rejects.toThrow('over');
  });

  it('what a unit throws is thrown, and nothing of it is done', async () => {
    await prepare();
    const databases = await openBoth();
    const broken = databases.write(async (session) => {
      await write(randomUUID())(session);
      throw new Error('its own');
    });
    await expect(broken).rejects.toThrow('its own');
    expect(await idsIn('blue')).toEqual([]);
  });

  it("what the driver refuses is the unit's own error too: it runs once, on a connection that stays", async () => {
    await prepare();
    const databases = await openBoth();
    const circular: { self?: unknown } = {};
    circular.self = circular;
    const pids: unknown[] = [];
    const unit = async (session: Session) => {
      const { rows } = await session.query('select pg_backend_pid() as pid');
      pids.push(rows[0]?.pid);
      return session.query('select $1::jsonb', [circular]);
    };
    await expect(databases.write(unit)).rejects.toThrow('circular');
    await expect(databases.write(unit)).rejects.toThrow('circular');
    expect(pids).toEqual([pids[0], pids[0]]);
    pids.length = 0;
    await expect(databases.read(unit)).rejects.toThrow('circular');
    expect(pids).toHaveLength(1);
  });

  it('a unit that goes on after a failed statement is not said to be done', async () => {
    await prepare();
    const databases = await openBoth();
    const deceived = databases.write(async (session) => {
      await write(randomUUID())(session);
      await session.query('select 1 / 0').catch(() => {});
    });
    await expect(deceived).rejects.toThrow('rolled it back');
    expect(await idsIn('blue')).toEqual([]);
  });
});

describe('rule 1: side and epoch never come again with other rows behind them', () => {
  it('not in a second migration either, for whoever was there through the first', async () => {
    const databases = await openBoth();
    const seen: string[] = [];
    const see = async (side: Side) => {
      await vi.waitFor(() => expect(databases.state().writable?.side).toBe(side));
      await databases.read(async ({ side, epoch }) => seen.push(`${side} ${epoch}`));
    };
    for (const _ of ['a dry run', 'the real one']) {
      await prepare();
      await vi.waitFor(() => expect(databases.state().blue.state).toBe('live'));
      await see('blue');
      await cross('blue', 'green', 'open');
      await see('green');
      await cross('green', 'blue', 'open');
      await see('blue');
      for (const side of ['blue', 'green'] as const) {
        await admins[side].query('drop schema migrate cascade');
        await vi.waitFor(() => expect(databases.state()[side].state).toBe('bare'));
      }
    }
    expect(seen).toEqual(['blue 1', 'green 2', 'blue 3', 'blue 4', 'green 5', 'blue 6']);
  });
});

describe('rule 2: writes wait at the gate, reads pass', () => {
  it('while the hold lasts, and go on when it is lifted', async () => {
    await prepare();
    const databases = await openBoth();
    await hold(admins.blue, 5_000, 1_000);
    await vi.waitFor(() => expect(databases.state().holdMs).toBeGreaterThan(0));
    let written = false;
    const waiting = databases.write(write(randomUUID())).then(() => {
      written = true;
    });
    expect(await databases.read(where)).toBe('blue');
    await sleep(100);
    expect([written, databases.state().waiting]).toEqual([false, 1]);
    await release(admins.blue);
    await waiting;
  });

  it('a hold ends by itself, also for who cannot ask any more', async () => {
    await prepare(60_000);
    await hold(admins.blue, 400, 1_000);
    const databases = await openBoth();
    expect(databases.state().holdMs).toBeGreaterThan(0);
    await databases.write(write(randomUUID()));
    expect(databases.state().holdMs).toBe(0);
  });

  it('they wait for a bounded time, and a bounded number of them', async () => {
    await prepare();
    const databases = await openBoth({ writersMax: 2, waitMs: 300 });
    await cross('blue', 'green', 'fenced');
    await vi.waitFor(() => expect(databases.state().blue.state).toBe('fenced'));
    const [one, other] = [databases.write(where), databases.write(where)];
    await expect(databases.write(where)).rejects.toMatchObject({ reason: 'full' });
    for (const waiting of [one, other]) {
      await expect(waiting).rejects.toMatchObject({ reason: 'held', retryAfterSeconds: 1 });
    }
    expect(await databases.read(where)).toBe('blue');
  });
});

describe('rule 3: what is refused runs again on the side that is live then', () => {
  it('MG001: the whole unit, on the new side', async () => {
    await prepare(60_000);
    const databases = await openBoth();
    const id = randomUUID();
    const tried: string[] = [];
    const side = await databases.write(async (session) => {
      tried.push(`${session.side} ${session.epoch}`);
      if (tried.length === 1) await cross('blue', 'green', 'open');
      return write(id)(session);
    });
    expect([side, tried]).toEqual(['green', ['blue 1', 'green 2']]);
    expect([await idsIn('blue'), await idsIn('green')]).toEqual([[], [id]]);
  });

  it('MG001 that the unit swallows counts all the same', async () => {
    await prepare(60_000);
    const databases = await openBoth();
    await cross('blue', 'green', 'open');
    const id = randomUUID();
    await databases.write(async (session) => {
      await session.query('savepoint before');
      await write(id)(session).catch(() => session.query('rollback to savepoint before'));
    });
    expect(await idsIn('green')).toEqual([id]);
  });

  it('40001: again, and again on the same side where it is still live', async () => {
    await prepare();
    const databases = await openBoth();
    const id = randomUUID();
    await databases.write(write(id));
    let tries = 0;
    await databases.write(async (session) => {
      tries += 1;
      await session.query('set transaction isolation level repeatable read');
      await session.query('select 1 from entry');
      if (tries === 1) await admins.blue.query("update entry set text = 'meanwhile'");
      await session.query("update entry set text = 'again'");
    });
    expect(tries).toBe(2);
  });

  it('a connection that breaks before COMMIT: again', async () => {
    await prepare();
    const databases = await openBoth();
    const id = randomUUID();
    let tries = 0;
    await databases.write(async (session) => {
      tries += 1;
      const { rows } = await session.query<{ pid: number }>('select pg_backend_pid() as pid');
      if (tries === 1) await admins.blue.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
      return write(id)(session);
    });
    expect([tries, await idsIn('blue')]).toEqual([2, [id]]);
  });
});

describe('rule 4: a lost answer to COMMIT', () => {
  let proxy: Server;
  let cut = 0;
  beforeAll(async () => {
    proxy = await openProxy(() => cut++ === 0);
  });
  afterAll(() => proxy.close());
  const throughProxy = () => {
    cut = 0;
    const address = proxy.address();
    const url = new URL(pair.blue);
    const [port, database] = [
      typeof address === 'object' ? address?.port : 0,
      url.pathname.slice(1),
    ];
    return {
      blue: {
        host: '127.0.0.1',
        port: port ?? 0,
        database,
        user: decodeURIComponent(url.username),
        password: decodeURIComponent(url.password),
      },
    };
  };

  it('is said where the unit cannot be asked for', async () => {
    await prepare();
    const databases = await openBoth(throughProxy());
    const id = randomUUID();
    await expect(databases.write(write(id))).rejects.toBeInstanceOf(OutcomeUnknown);
    await vi.waitFor(async () => expect(await idsIn('blue')).toEqual([id]));
  });

  it('is asked for by running a unit again that looks for its own id', async () => {
    await prepare();
    const databases = await openBoth(throughProxy());
    const id = randomUUID();
    let tries = 0;
    const unit = (session: Session) => {
      tries += 1;
      return write(id)(session);
    };
    expect(await databases.write(unit, { idempotent: true })).toBe('blue');
    expect([tries, await idsIn('blue')]).toEqual([2, [id]]);
  });
});

describe('rule 4: what is not known stays unknown', () => {
  it('where the question fails, but not where the unit itself answers it', async () => {
    await prepare();
    let answers = 0;
    const proxy = await openProxy(() => answers++ === 0);
    const address = proxy.address();
    const url = new URL(pair.blue);
    url.searchParams.set('host', '127.0.0.1');
    url.port = String(typeof address === 'object' ? address?.port : 0);
    const ask = async (question: (session: Session) => Promise<unknown>) => {
      answers = 0;
      const databases = await openBoth({ blue: { connectionString: url.href } });
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

describe('rule 5: reads', () => {
  it('one that must never be older goes to the side that is live now', async () => {
    await prepare(60_000);
    const databases = await openBoth();
    await cross('blue', 'green', 'open');
    expect(await databases.read(where)).toBe('blue');
    expect(await databases.read(where, { fresh: true })).toBe('green');
    expect(await databases.read(where)).toBe('green');
  });
});

describe('rule 5: where nobody is heard any more', () => {
  const role = `reader_${process.pid}_${Date.now()}`;
  const limit = (count: number) =>
    admins.blue.query(`alter role ${role} connection limit ${count}`);
  beforeAll(async () => {
    await admins.blue.query(`create role ${role} login password 'reader'`);
  });
  afterAll(() => admins.blue.query(`drop role ${role}`));
  const asReader = (of: string) => {
    const url = new URL(of);
    [url.username, url.password] = [role, 'reader'];
    return { connectionString: url.href, application_name: 'under test', max: 3 };
  };

  it('a read that must never be older is not answered from what was heard before', async () => {
    await prepare(60_000);
    const [blue, green] = [asReader(pair.blue), asReader(pair.green)];
    const databases = await openBoth({ blue, green, waitMs: 300 });
    expect(await databases.read(where, { fresh: true })).toBe('blue');
    // A server that gives no further connections: those that are open go on, but the polls are cut.
    await limit(0);
    await admins.blue.query(
      `select pg_terminate_backend(a.pid, 5000) from pg_stat_activity a
       where a.usename = $1 and a.query like '%migrate.seam%'`,
      [role],
    );
    await cross('blue', 'green', 'open');
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
        pair.blue,
        `select d.xact_rollback::int as n from pg_stat_database d
         where d.datname = current_database()`,
      );
      return Number(row?.n);
    };
    const before = await failed();
    const databases = await openBoth();
    for (let asked = 0; asked < 20; asked += 1) await databases.read(where, { fresh: true });
    await databases.close();
    opened = [];
    // A connection says what it did when it ends.
    await sleep(500);
    expect((await failed()) - before).toBeLessThan(5);
  });

  it('without a migration it is the primary', async () => {
    expect(await (await openBoth()).write(where)).toBe('blue');
    expect(await (await openBoth({ primary: 'green' })).write(where)).toBe('green');
  });

  it('through a whole migration it is the live one, also after finish', async () => {
    await prepare();
    const databases = await openBoth();
    await cross('blue', 'green', 'open');
    expect(await databases.write(where, {})).toBeDefined();
    await vi.waitFor(async () => expect(await databases.write(where)).toBe('green'));
    await admins.green.query('drop schema migrate cascade');
    await vi.waitFor(() => expect(databases.state().green.state).toBe('bare'));
    expect(await databases.write(where)).toBe('green');
    // Who starts now learns it from the row that is left.
    expect(await (await openBoth()).write(where)).toBe('green');
    await admins.blue.query('drop schema migrate cascade');
    await vi.waitFor(() => expect(databases.state().blue.state).toBe('bare'));
    expect(await databases.write(where)).toBe('green');
  });

  it('one that cannot be reached is not one that is not live', async () => {
    await prepare();
    const databases = await openBoth({ blue: nowhere, waitMs: 300 });
    await expect(databases.write(where)).rejects.toBeInstanceOf(Unavailable);
    await expect(databases.read(where)).rejects.toBeInstanceOf(Unavailable);
    expect(await query(pair.green, 'select c.state from migrate.control c')).toEqual([
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
    const databases = await openBoth({ green });
    expect(databases.state().green.trouble).toMatch(
      /ECONNREFUSED 127\.0\.0\.1:1; .*ECONNREFUSED 127\.0\.0\.2:1/,
    );
  });

  it('a primary that is configured nowhere is refused at once', async () => {
    const green = { connectionString: pair.green };
    await expect(openDatabases({ green, primary: 'blue' })).rejects.toThrow('"primary" is blue');
  });

  it('one that is not live need not be reached', async () => {
    await prepare();
    const databases = await openBoth({ green: nowhere });
    expect(await databases.write(where)).toBe('blue');
  });

  it('swapped connection settings write nowhere', async () => {
    await prepare();
    const databases = await openBoth({
      blue: { connectionString: pair.green },
      green: { connectionString: pair.blue },
      waitMs: 200,
    });
    await expect(databases.write(where)).rejects.toBeInstanceOf(Unavailable);
    expect(databases.state().blue.trouble).toContain('swapped');
  });
});

describe('a tool that died in a switch', () => {
  it('after the retirement: any client opens the other side', async () => {
    await prepare();
    const databases = await openBoth();
    await cross('blue', 'green', 'retired');
    await vi.waitFor(async () => expect(await databases.write(where)).toBe('green'));
    expect(databases.state().writable).toEqual({ side: 'green', epoch: 2 });
  });

  it('before it: any client lifts the fence once its deadline has passed', async () => {
    await prepare();
    const databases = await openBoth();
    await cross('blue', 'green', 'fenced', 300);
    await vi.waitFor(() => expect(databases.state().blue.state).toBe('fenced'));
    expect(await databases.write(where)).toBe('blue');
    expect(databases.state().writable).toEqual({ side: 'blue', epoch: 1 });
  });
});

describe('near a switch', () => {
  it('the other side gets connections, with the statements prepared', async () => {
    await prepare();
    const insert = { name: 'entry', text: 'insert into entry values ($1, $2)' };
    const statement = { ...insert, values: [randomUUID(), 'primed'] };
    const databases = await openBoth({ prime: { green: [statement] } });
    await Promise.all([1, 2, 3].map(() => databases.write(where)));
    const count = async () => {
      const [row] = await query(
        pair.green,
        `select count(*)::int as n from pg_stat_activity a
         where a.application_name = 'under test' and a.datname = current_database()`,
      );
      return row?.n;
    };
    expect(await count()).toBe(1);
    for (const side of sides) await admins[side].query('update migrate.notice set near = true');
    await vi.waitFor(async () => expect(await count()).toBeGreaterThanOrEqual(4));
    expect(await idsIn('green')).toEqual([]);
    await cross('blue', 'green', 'open');
    await vi.waitFor(async () => expect(await databases.write(where)).toBe('green'));
    const names = await databases.write(async (session) => {
      const prepared = 'select p.name from pg_prepared_statements p';
      return (await session.query<{ name: string }>(prepared)).rows.map(({ name }) => name);
    });
    expect(names).toEqual(['entry']);
  });
});

describe('closing', () => {
  it('refuses who waits and who comes, and leaves no connection and no timer', async () => {
    await prepare();
    await hold(admins.blue, 10_000, 1_000);
    const timers = () =>
      process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const databases = await openBoth();
    const waiting = expect(databases.write(where)).rejects.toMatchObject({ reason: 'closing' });
    await databases.read(where);
    await Promise.all([databases.close(), databases.close()]);
    opened = [];
    await waiting;
    expect(timers()).toBeLessThanOrEqual(before);
    await expect(databases.write(where)).rejects.toMatchObject({ reason: 'closing' });
    await vi.waitFor(async () =>
      expect(
        await query(
          pair.blue,
          "select 1 from pg_stat_activity a where a.application_name = 'under test'",
        ),
      ).toEqual([]),
    );
  });
});

/** In front of blue: `cuts` says, per COMMIT, whether its answer is to be lost. */
async function openProxy(cuts: () => boolean): Promise<Server> {
  const url = new URL(pair.blue);
  const directory = url.searchParams.get('host') ?? '';
  const server = createServer((near) => {
    const far = connectTo(`${directory}/.s.PGSQL.${url.port}`);
    for (const socket of [near, far]) socket.on('error', () => {});
    near.on('close', () => far.end());
    far.on('close', () => near.destroy());
    far.on('data', (chunk) => near.write(chunk));
    near.on('data', (chunk) => {
      far.write(chunk);
      if (chunk.includes('commit') && cuts()) near.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

describe('docs/migrate/client.md', () => {
  it('its program runs as printed', async () => {
    await admins.blue.query('create table note (id uuid primary key, body text not null)');
    const page = await readFile(new URL('../../docs/migrate/client.md', import.meta.url), 'utf8');
    const [, program = ''] = /```ts\n([\s\S]*?)```/.exec(page) ?? [];
    const directory = await mkdtemp(join(tmpdir(), 'migrate-client-'));
    const file = join(directory, 'note.ts');
    // Outside of this repository its rooms have no short names.
    const room = new URL('./', import.meta.url).href;
    await writeFile(file, program.replace('#migrate/client/', room));
    try {
      const run = await promisify(execFile)(process.execPath, [file, pair.blue, pair.green]);
      expect(run.stdout).toBe("1 { side: 'blue', epoch: 0 }\n");
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
