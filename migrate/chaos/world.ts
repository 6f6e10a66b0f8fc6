import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Places } from '#migrate/blue-green/run.ts';
import { fillBank, query } from '#migrate/testing/databases.ts';
import { openProxy, type TestProxy } from '#server/testing/proxy.ts';
import { money } from './bank.ts';
import { openSmallDisk, type SmallDisk } from './disk.ts';
import { type Server, startServer } from './server.ts';
import { type Testimony, testimony } from './witness.ts';

type Both<T> = { readonly blue: T; readonly green: T };
type Side = keyof Both<unknown>;

/** Two PostgreSQL servers with what stands between them and everybody, for many rounds. */
export interface World {
  readonly servers: Both<Server>;
  readonly proxies: { readonly tool: Both<TestProxy>; readonly app: Both<TestProxy> };
  /** Undefined: this process may not mount one. */
  readonly disk: SmallDisk | undefined;
  readonly witness: Witness;
  /** Cents in blue when a round begins. */
  readonly cents: string;
  /** Fresh databases; green lies on the small disk if asked. */
  create(name: string, onSmallDisk: boolean): Promise<Ground>;
  close(): Promise<void>;
}

/** The databases of one round, as everybody reaches them. */
export interface Ground {
  readonly direct: Both<string>;
  readonly tool: Both<string>;
  readonly app: Both<string>;
  remove(): Promise<void>;
}

/** The process that looks at both sides; witness.ts says what it sees. */
export interface Witness {
  begin(urls: Places): Promise<void>;
  guarded(): Promise<void>;
  end(): Promise<Testimony>;
}

export interface WorldOptions {
  /** Of the bank; each makes eleven rows of green. */
  readonly customers: number;
  /** The directory over the `bin` of blue's PostgreSQL; undefined: what npm brings. */
  readonly installation: string | undefined;
  readonly withDisk: boolean;
}

/** Starts it. */
export async function openWorld(options: WorldOptions): Promise<World> {
  const closing: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const act of closing.splice(0).reverse()) await act();
  };
  try {
    const servers = {
      blue: await startServer(options.installation),
      green: await startServer(undefined),
    };
    closing.push(() => Promise.all([servers.blue.close(), servers.green.close()]));
    const fourProxies = {
      tool: await openProxies(servers),
      app: await openProxies(servers),
    };
    closing.push(async () => {
      for (const { blue, green } of Object.values(fourProxies)) {
        await Promise.all([blue.close(), green.close()]);
      }
    });
    const disk = options.withDisk ? await openSmallDisk(servers.green.owner) : undefined;
    // The tablespace lies on it: it goes after the server.
    if (disk !== undefined) closing.unshift(() => disk.close());
    const cents = await makeTemplates(servers, options.customers, disk);
    const witness = startWitness();
    closing.push(async () => witness.close());
    return {
      servers,
      proxies: fourProxies,
      disk,
      witness,
      cents,
      create: (name, onSmallDisk) => create(servers, fourProxies, name, onSmallDisk),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openProxies(servers: Both<Server>): Promise<Both<TestProxy>> {
  return {
    blue: await openProxy(servers.blue.port),
    green: await openProxy(servers.green.port),
  };
}

async function makeTemplates(
  servers: Both<Server>,
  customers: number,
  disk: SmallDisk | undefined,
): Promise<string> {
  for (const side of ['blue', 'green'] as const) {
    await query(servers[side].url('postgres'), 'create database bank template template0');
  }
  if (disk !== undefined) {
    const place = disk.directory.replaceAll("'", "''");
    await query(servers.green.url('postgres'), `create tablespace small location '${place}'`);
  }
  const urls = { blue: servers.blue.url('bank'), green: servers.green.url('bank') };
  await fillBank(urls, customers);
  const [row] = await query(urls.blue, money.blue);
  return String(row?.cents);
}

async function create(
  servers: Both<Server>,
  proxies: World['proxies'],
  name: string,
  onSmallDisk: boolean,
): Promise<Ground> {
  const both = <T>(of: (side: Side) => T): Both<T> => ({ blue: of('blue'), green: of('green') });
  for (const side of ['blue', 'green'] as const) {
    const space = side === 'green' && onSmallDisk ? 'tablespace small' : '';
    await query(
      servers[side].url('postgres'),
      `create database ${name} template bank strategy file_copy ${space}`,
    );
  }
  const direct = both((side) => servers[side].url(name));
  return {
    direct,
    tool: both((side) => proxies.tool[side].through(direct[side])),
    app: both((side) => proxies.app[side].through(direct[side])),
    async remove() {
      for (const side of ['blue', 'green'] as const) {
        await query(servers[side].url('postgres'), `drop database ${name} with (force)`);
      }
    },
  };
}

const answer = z.object({ said: testimony.optional(), failed: z.string().optional() });

function startWitness(): Witness & { close(): void } {
  const child: ChildProcess = fork(fileURLToPath(new URL('witness.ts', import.meta.url)), {
    execArgv: [],
  });
  const ended = once(child, 'exit').then((): unknown[] => [{ failed: 'it ended' }]);
  const ask = async (message: Readonly<Record<string, string>>) => {
    const answered: Promise<unknown[]> = once(child, 'message');
    child.send(message);
    const [value] = await Promise.race([answered, ended]);
    const { said, failed } = answer.parse(value);
    if (failed !== undefined) throw new Error(`the witness failed: ${failed}`);
    return said;
  };
  return {
    async begin({ blue = '', green = '' }) {
      await ask({ ask: 'begin', blue, green });
    },
    async guarded() {
      await ask({ ask: 'guarded' });
    },
    async end() {
      const said = await ask({ ask: 'end' });
      if (said === undefined) throw new Error('the witness said nothing');
      return said;
    },
    close: () => child.disconnect(),
  };
}
