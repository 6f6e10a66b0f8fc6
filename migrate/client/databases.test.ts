import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { hold, release } from '#migrate/blue-green/control.ts';
import { query } from '#migrate/testing/databases.ts';
import { type Ground, openGround, where, write } from '#migrate/testing/ground.ts';
import { OutcomeUnknown } from './failure.ts';
import type { Session } from './unit.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let ground: Ground;
beforeAll(async () => {
  ground = await openGround();
});
afterAll(() => ground.close());
afterEach(() => ground.clear());

describe('rule 1: a unit of work is pinned to one side', () => {
  it('has its side and epoch, and ends with its transaction', async () => {
    await ground.prepare();
    const databases = await ground.openBoth();
    let kept: Session | undefined;
    await databases.write(async (session) => {
      kept = session;
      expect([session.side, session.epoch]).toEqual(['blue', 1]);
    });
    await expect(kept?.query('select 1')).rejects.toThrow('over');
  });

  it('what a unit throws is thrown, and nothing of it is done', async () => {
    await ground.prepare();
    const databases = await ground.openBoth();
    const broken = databases.write(async (session) => {
      await write(randomUUID())(session);
      throw new Error('its own');
    });
    await expect(broken).rejects.toThrow('its own');
    expect(await ground.idsIn('blue')).toEqual([]);
  });

  it("what the driver refuses is the unit's own error too: it runs once, on a connection that stays", async () => {
    await ground.prepare();
    const databases = await ground.openBoth();
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
    await ground.prepare();
    const databases = await ground.openBoth();
    const deceived = databases.write(async (session) => {
      await write(randomUUID())(session);
      await session.query('select 1 / 0').catch(() => {});
    });
    await expect(deceived).rejects.toThrow('rolled it back');
    expect(await ground.idsIn('blue')).toEqual([]);
  });
});

describe('rule 2: writes wait at the gate, reads pass', () => {
  it('while the hold lasts, and go on when it is lifted', async () => {
    await ground.prepare();
    const databases = await ground.openBoth();
    await hold(ground.admins.blue, 5_000, 1_000);
    await expect.poll(() => databases.state().holdMs).toBeGreaterThan(0);
    let written = false;
    const waiting = databases.write(write(randomUUID())).then(() => {
      written = true;
    });
    expect(await databases.read(where)).toBe('blue');
    await sleep(100);
    expect([written, databases.state().waiting]).toEqual([false, 1]);
    await release(ground.admins.blue);
    await waiting;
  });

  it('a hold ends by itself, also for who cannot ask any more', async () => {
    await ground.prepare(60_000);
    await hold(ground.admins.blue, 1_500, 1_000);
    const databases = await ground.openBoth();
    expect(databases.state().holdMs).toBeGreaterThan(0);
    await databases.write(write(randomUUID()));
    expect(databases.state().holdMs).toBe(0);
  });

  it('they wait for a bounded time, and a bounded number of them', async () => {
    await ground.prepare();
    const databases = await ground.openBoth({ writersMax: 2, waitMs: 300 });
    await ground.cross('blue', 'green', 'fenced');
    await expect.poll(() => databases.state().blue.state).toBe('fenced');
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
    await ground.prepare(60_000);
    const databases = await ground.openBoth();
    const id = randomUUID();
    const tried: string[] = [];
    const side = await databases.write(async (session) => {
      tried.push(`${session.side} ${session.epoch}`);
      if (tried.length === 1) await ground.cross('blue', 'green', 'open');
      return write(id)(session);
    });
    expect([side, tried]).toEqual(['green', ['blue 1', 'green 2']]);
    expect([await ground.idsIn('blue'), await ground.idsIn('green')]).toEqual([[], [id]]);
  });

  it('MG001 that the unit swallows counts all the same', async () => {
    await ground.prepare(60_000);
    const databases = await ground.openBoth();
    await ground.cross('blue', 'green', 'open');
    const id = randomUUID();
    await databases.write(async (session) => {
      await session.query('savepoint before');
      await write(id)(session).catch(() => session.query('rollback to savepoint before'));
    });
    expect(await ground.idsIn('green')).toEqual([id]);
  });

  it('40001: again, and again on the same side where it is still live', async () => {
    await ground.prepare();
    const databases = await ground.openBoth();
    const id = randomUUID();
    await databases.write(write(id));
    let tries = 0;
    await databases.write(async (session) => {
      tries += 1;
      await session.query('set transaction isolation level repeatable read');
      await session.query('select 1 from entry');
      if (tries === 1) await ground.admins.blue.query("update entry set text = 'meanwhile'");
      await session.query("update entry set text = 'again'");
    });
    expect(tries).toBe(2);
  });

  it('53: where the live database has no room, nothing is done, and that may be tried again', async () => {
    await ground.prepare();
    const databases = await ground.openBoth();
    const id = randomUUID();
    const full = `do $$ begin
      raise exception 'could not extend file: No space left on device' using errcode = '53100';
    end $$`;
    let tries = 0;
    const written = databases.write(async (session) => {
      tries += 1;
      await write(id)(session);
      await session.query(full);
    });
    await expect(written).rejects.toMatchObject({ name: 'Unavailable', reason: 'short' });
    await expect(databases.read((session) => session.query(full))).rejects.toMatchObject({
      name: 'Unavailable',
      reason: 'short',
    });
    expect([tries, await ground.idsIn('blue')]).toEqual([1, []]);
  });

  it('a connection that breaks before COMMIT: again', async () => {
    await ground.prepare();
    const databases = await ground.openBoth();
    const id = randomUUID();
    let tries = 0;
    await databases.write(async (session) => {
      tries += 1;
      const { rows } = await session.query<{ pid: number }>('select pg_backend_pid() as pid');
      if (tries === 1)
        await ground.admins.blue.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
      return write(id)(session);
    });
    expect([tries, await ground.idsIn('blue')]).toEqual([2, [id]]);
  });
});

describe('rule 4: a lost answer to COMMIT', () => {
  let proxy: Server;
  let cut = 0;
  beforeAll(async () => {
    proxy = await ground.openProxy(() => cut++ === 0);
  });
  afterAll(() => proxy.close());
  const throughProxy = () => {
    cut = 0;
    const address = proxy.address();
    const url = new URL(ground.pair.blue);
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
    await ground.prepare();
    const databases = await ground.openBoth(throughProxy());
    const id = randomUUID();
    await expect(databases.write(write(id))).rejects.toBeInstanceOf(OutcomeUnknown);
    await expect.poll(() => ground.idsIn('blue')).toEqual([id]);
  });

  it('is asked for by running a unit again that looks for its own id', async () => {
    await ground.prepare();
    const databases = await ground.openBoth(throughProxy());
    const id = randomUUID();
    let tries = 0;
    const unit = (session: Session) => {
      tries += 1;
      return write(id)(session);
    };
    expect(await databases.write(unit, { idempotent: true })).toBe('blue');
    expect([tries, await ground.idsIn('blue')]).toEqual([2, [id]]);
  });
});

describe('rule 5: reads', () => {
  it('one that must never be older goes to the side that is live now', async () => {
    await ground.prepare(60_000);
    const databases = await ground.openBoth();
    await ground.cross('blue', 'green', 'open');
    expect(await databases.read(where)).toBe('blue');
    expect(await databases.read(where, { fresh: true })).toBe('green');
    expect(await databases.read(where)).toBe('green');
  });
});

describe('closing', () => {
  it('refuses who waits and who comes, and leaves no connection and no timer', async () => {
    await ground.prepare();
    await hold(ground.admins.blue, 10_000, 1_000);
    const timers = () =>
      process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const databases = await ground.openBoth();
    const waiting = expect(databases.write(where)).rejects.toMatchObject({ reason: 'closing' });
    await databases.read(where);
    await Promise.all([databases.close(), databases.close()]);
    await waiting;
    expect(timers()).toBeLessThanOrEqual(before);
    await expect(databases.write(where)).rejects.toMatchObject({ reason: 'closing' });
    const sessions = `select 1 from pg_stat_activity a
      where a.application_name = 'under test' and a.datname = current_database()`;
    await expect.poll(() => query(ground.pair.blue, sessions)).toEqual([]);
  });
});

describe('docs/migrate/client.md', () => {
  it('its program runs as printed', async () => {
    await ground.admins.blue.query('create table note (id uuid primary key, body text not null)');
    const page = await readFile(new URL('../../docs/migrate/client.md', import.meta.url), 'utf8');
    const [, program = ''] = /```ts\n([\s\S]*?)```/.exec(page) ?? [];
    const directory = await mkdtemp(join(tmpdir(), 'migrate-client-'));
    const file = join(directory, 'note.ts');
    // Outside of this repository its rooms have no short names.
    const room = new URL('./', import.meta.url).href;
    await writeFile(file, program.replace('#migrate/client/', room));
    try {
      const run = await promisify(execFile)(process.execPath, [
        file,
        ground.pair.blue,
        ground.pair.green,
      ]);
      expect(run.stdout).toBe("1 { side: 'blue', epoch: 0 }\n");
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
