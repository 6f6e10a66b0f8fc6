import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { probe } from './bank.ts';

type Side = 'blue' | 'green';
type Clients = Readonly<Record<Side, pg.Client>>;

/** What was seen. */
export interface Seen {
  readonly twoLive: string[];
  readonly looks: number;
  readonly standings: string[];
}

const pauseMs = 40;
const sentencesMax = 20;

/**
 * Looks at both databases until it is closed. Two proofs of two live databases:
 * - blue says live, then green does, then blue still does, at the same epoch;
 * - a write that one side has taken stays open, so that side cannot be fenced meanwhile, and the
 *   other side takes a write too.
 */
export function openSight(urls: Readonly<Record<Side, string>>) {
  const seen = { twoLive: [] as string[], looks: 0, standings: [] as string[] };
  let guarded = false;
  let closed = false;
  let clients: Clients | undefined;
  const tell = (sentence: string | undefined) => {
    if (sentence !== undefined && seen.twoLive.length < sentencesMax) seen.twoLive.push(sentence);
  };
  const watching = (async () => {
    for (let turn = 0; !closed; turn += 1) {
      try {
        clients ??= { blue: await open(urls.blue), green: await open(urls.green) };
        const first: Side = turn % 2 === 0 ? 'blue' : 'green';
        tell(await readBoth(clients, seen.standings));
        if (guarded) tell(await writeBoth(clients, first));
        seen.looks += 1;
      } catch {
        await closeAll(clients);
        clients = undefined;
      }
      await sleep(pauseMs);
    }
    await closeAll(clients);
  })();
  return {
    /** Writes are tried from here on: a database that is not guarded takes any. */
    guarded() {
      guarded = true;
    },
    async close(): Promise<Seen> {
      closed = true;
      await watching;
      return seen;
    },
  };
}

async function open(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'witness',
    connectionTimeoutMillis: 10_000,
  });
  client.on('error', () => {});
  await client.connect();
  await client.query("set lock_timeout = '50ms'; set statement_timeout = '500ms'");
  return client;
}

async function closeAll(clients: Clients | undefined): Promise<void> {
  if (clients === undefined) return;
  await Promise.allSettled([clients.blue.end(), clients.green.end()]);
}

async function stateOf(client: pg.Client): Promise<string> {
  try {
    const { rows } = await client.query<{ state: string; epoch: string }>(
      'select s.state, s.epoch::text as epoch from migrate.seam s',
    );
    const [row] = rows;
    return row === undefined ? 'none' : `${row.state}(${row.epoch})`;
  } catch (error) {
    if (['42P01', '3F000'].includes(codeOf(error))) return 'none';
    throw error;
  }
}

async function readBoth(clients: Clients, standings: string[]): Promise<string | undefined> {
  const before = await stateOf(clients.blue);
  const green = await stateOf(clients.green);
  const after = await stateOf(clients.blue);
  const standing = `blue ${after}, green ${green}`;
  if (standings.at(-1) !== standing && standings.length < 1000) standings.push(standing);
  if (before !== after || !before.startsWith('live') || !green.startsWith('live')) return undefined;
  return `both say that they are live: ${standing}`;
}

/** Whether both take a write at the same time; neither is committed. */
async function writeBoth(clients: Clients, first: Side): Promise<string | undefined> {
  const second = first === 'blue' ? 'green' : 'blue';
  if (!(await takesWrite(clients[first], first))) {
    await clients[first].query('rollback');
    return undefined;
  }
  try {
    const both = await takesWrite(clients[second], second);
    return both ? `${second} took a write while one was open on ${first}` : undefined;
  } finally {
    await clients[first].query('rollback');
    await clients[second].query('rollback');
  }
}

async function takesWrite(client: pg.Client, side: Side): Promise<boolean> {
  await client.query('begin');
  try {
    await client.query(probe[side]);
    return true;
  } catch (error) {
    // Refused; or the tables are locked by a fence; or the statement took too long.
    if (['MG001', '55P03', '57014'].includes(codeOf(error))) return false;
    throw error;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
