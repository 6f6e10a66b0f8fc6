import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { transfers } from './transfers.ts';

type Urls = Readonly<Record<'blue' | 'green', string>>;

/** What writers saw; every acknowledged transfer must be on the side that is live at the end. */
export interface Ledger {
  readonly acknowledged: Set<string>;
  /** COMMIT was sent and no answer came: it may be there or not. */
  readonly unknown: Set<string>;
  /** Refused by the guard and run again, on whichever side was live. */
  refused: number;
  /** Longest time from the first attempt of a transfer to its acknowledgement. */
  slowestMs: number;
  /** Moments at which both sides said that they were live. */
  twoLive: number;
}

/** Whether green has the tables of the bank in their new shape, or the same as blue. */
export type Shape = 'same shape' | 'other shape';

/** Writers that transfer money until they are stopped. */
export interface Writers {
  readonly ledger: Ledger;
  stop(): Promise<Ledger>;
}

const accounts = { low: 1, high: 400 };
/** As `poll_ms` says near a switch. */
const pollMs = 10;

/**
 * Starts writers which know nothing of the tool but SQLSTATE MG001 and migrate.seam: the smallest
 * client that the contract allows. Each transfer moves money in one transaction and is noted when it
 * was acknowledged.
 */
export function startWriters(
  pair: Urls,
  count: number,
  pauseMs: number,
  shape: Shape = 'other shape',
): Writers {
  const ledger: Ledger = {
    acknowledged: new Set(),
    unknown: new Set(),
    refused: 0,
    slowestMs: 0,
    twoLive: 0,
  };
  let stopped = false;
  // One poller for all, as in a process that follows the contract.
  const poller = connectBoth(pair);
  let asking: Promise<'blue' | 'green' | undefined> | undefined;
  const ask = () => {
    asking ??= sleep(pollMs)
      .then(async () => liveSide(await poller, ledger))
      .finally(() => {
        asking = undefined;
      });
    return asking;
  };
  const writers = Array.from({ length: count }, async () => {
    const clients = await connectBoth(pair);
    let side: 'blue' | 'green' = 'blue';
    while (!stopped) {
      const id = randomUUID();
      const startedMs = performance.now();
      for (;;) {
        const outcome = await transfer(clients[side], shape === 'same shape' ? 'blue' : side, id);
        if (outcome === 'done') {
          ledger.acknowledged.add(id);
          ledger.slowestMs = Math.max(ledger.slowestMs, performance.now() - startedMs);
          break;
        }
        if (outcome === 'unknown') {
          ledger.unknown.add(id);
          clients[side] = await connect(pair[side]);
          break;
        }
        ledger.refused += 1;
        side = (await ask()) ?? side;
        if (stopped) break;
      }
      await sleep(pauseMs);
    }
    await Promise.all([clients.blue.end(), clients.green.end()]);
  });
  return {
    ledger,
    async stop() {
      stopped = true;
      await Promise.all(writers);
      await asking;
      const { blue, green } = await poller;
      await Promise.all([blue.end(), green.end()]);
      return ledger;
    },
  };
}

async function connectBoth(pair: Urls) {
  const [blue, green] = await Promise.all([connect(pair.blue), connect(pair.green)]);
  return { blue, green };
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'bank' });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function transfer(client: pg.Client, tables: 'blue' | 'green', id: string) {
  // In one order, so that two transfers never wait for each other.
  const from = randomInt(accounts.low, accounts.high);
  const to = randomInt(from + 1, accounts.high + 1);
  const [take, give, write] = transfers[tables];
  let sent = false;
  try {
    await client.query('begin');
    await client.query(take, [from]);
    await client.query(give, [to]);
    await client.query(write, [id, from, to]);
    sent = true;
    await client.query('commit');
    return 'done' as const;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'MG001') return 'refused' as const;
    if (sent && code === '') return 'unknown' as const;
    throw error;
  }
}

async function liveSide(
  clients: Readonly<Record<'blue' | 'green', pg.Client>>,
  ledger: Ledger,
): Promise<'blue' | 'green' | undefined> {
  const read = async (client: pg.Client) => {
    const { rows } = await client.query<{ state: string; key: Buffer | null; expired: boolean }>(
      'select s.state, s.opening_key as key, s.fence_expired as expired from migrate.seam s',
    );
    return rows[0];
  };
  // Blue twice: an answer of green that is later than blue's first must not be held against it.
  const blueBefore = await read(clients.blue);
  const green = await read(clients.green);
  const blue = await read(clients.blue);
  if (blueBefore?.state === 'live' && green?.state === 'live' && blue?.state === 'live') {
    ledger.twoLive += 1;
  }
  if (blue?.expired) await clients.blue.query('select migrate.unfence_expired()');
  if (green?.expired) await clients.green.query('select migrate.unfence_expired()');
  if (green?.state === 'live') return 'green';
  if (blue?.state === 'live') return 'blue';
  if (blue?.key) await clients.green.query('select migrate.open($1)', [blue.key]);
  if (green?.key) await clients.blue.query('select migrate.open($1)', [green.key]);
  return undefined;
}
