import { readFile } from 'node:fs/promises';
import { connect as connectTo, createServer, type Server } from 'node:net';
import pg from 'pg';
import {
  fence,
  insertControl,
  makeId,
  makeOpeningKey,
  makeReady,
  open,
  retire,
} from '#migrate/blue-green/control.ts';
import { type Databases, type DatabasesOptions, openDatabases } from '#migrate/client/databases.ts';
import { type Side, sides } from '#migrate/client/seam.ts';
import type { Session } from '#migrate/client/unit.ts';
import { openEmptyPair } from './bank.ts';
import { type Pair, query } from './databases.ts';

/** Two databases with control rows and a guarded table, moved by the tool's own statements. */
export interface Ground {
  readonly pair: Pair;
  /** A session of a superuser in each. */
  readonly admins: Readonly<Record<Side, pg.Client>>;
  /** As `migrate prepare` leaves both; clients poll every 20 ms, so that tests need not wait. */
  prepare(pollMs?: number): Promise<void>;
  /** A switch, up to and with the step that is named. */
  cross(
    from: Side,
    to: Side,
    until: 'fenced' | 'retired' | 'open',
    fenceMs?: number,
  ): Promise<void>;
  /** The library on both, which {@link Ground.clear} closes. */
  openBoth(options?: Partial<DatabasesOptions>): Promise<Databases>;
  idsIn(side: Side): Promise<readonly unknown[]>;
  /** In front of blue: `cuts` says, per COMMIT, whether its answer is to be lost. */
  openProxy(cuts: () => boolean): Promise<Server>;
  /** Nothing is prepared, no row is there, nobody is connected. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

/** A unit that looks for its own id before it does anything. */
export const write = (id: string) => async (session: Session) => {
  await session.query("insert into entry values ($1, 'written') on conflict do nothing", [id]);
  return session.side;
};

/** A unit that does nothing. */
export const where = async (session: Session) => session.side;

const control = new URL('../blue-green/control.sql', import.meta.url);

/** Makes it. */
export async function openGround(): Promise<Ground> {
  const pair = await openEmptyPair();
  const admins = { blue: await connect(pair.blue), green: await connect(pair.green) };
  for (const side of sides) {
    await admins[side].query('create table entry (id uuid primary key, text text not null)');
  }
  const opened: Databases[] = [];
  const clear = async () => {
    for (const one of opened.splice(0)) await one.close();
    for (const side of sides) {
      await admins[side].query('drop schema if exists migrate cascade; truncate entry');
    }
  };
  return {
    pair,
    admins,
    prepare: (pollMs = 20) => prepare(admins, pollMs),
    cross: (from, to, until, fenceMs = 5_000) => cross(admins, { from, to }, until, fenceMs),
    async openBoth(options = {}) {
      const databases = await openDatabases({
        blue: { connectionString: pair.blue, application_name: 'under test', max: 3 },
        green: { connectionString: pair.green, application_name: 'under test', max: 3 },
        primary: 'blue',
        ...options,
      });
      opened.push(databases);
      return databases;
    },
    idsIn: async (side) =>
      (await query(pair[side], 'select e.id from entry e')).map(({ id }) => id),
    openProxy: (cuts) => openProxy(pair.blue, cuts),
    clear,
    async close() {
      await clear();
      for (const side of sides) await admins[side].end();
      await pair.close();
    },
  };
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function prepare(admins: Ground['admins'], pollMs: number): Promise<void> {
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

async function cross(
  admins: Ground['admins'],
  { from, to }: { readonly from: Side; readonly to: Side },
  until: 'fenced' | 'retired' | 'open',
  fenceMs: number,
): Promise<void> {
  const { rows } = await admins[from].query('select c.epoch::int as epoch from migrate.control c');
  const { key, lock } = makeOpeningKey();
  const fenceId = makeId();
  await makeReady(admins[to], lock, rows[0].epoch + 1);
  if (!(await fence(admins[from], fenceId, fenceMs))) throw new Error(`${from} was not live`);
  if (until === 'fenced') return;
  // What the tool transfers between the two steps.
  const entries = await admins[from].query('select e.id, e.text from entry e');
  await admins[to].query('alter table entry disable trigger migrate_guard');
  for (const { id, text } of entries.rows) {
    await admins[to].query('insert into entry values ($1, $2) on conflict do nothing', [id, text]);
  }
  await admins[to].query('alter table entry enable always trigger migrate_guard');
  if (!(await retire(admins[from], fenceId, key))) throw new Error(`${from} did not retire`);
  if (until === 'open') await open(admins[to], key);
}

async function openProxy(blue: string, cuts: () => boolean): Promise<Server> {
  const url = new URL(blue);
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
