import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { transfers } from '#migrate/testing/transfers.ts';

/** What a straggler was told. */
export interface Tally {
  readonly acknowledged: ReadonlySet<string>;
  /** Refused with MG001. */
  readonly refused: number;
}

const pauseMs = 60;
const accountsMax = 200;

/**
 * Somebody who writes to one database as superuser, for ever, and never hears of a switch: what it is
 * told was written must be on the live side at the end, and everything else must be refused.
 */
export function startStraggler(side: 'blue' | 'green', url: string) {
  const tally = { acknowledged: new Set<string>(), refused: 0 };
  let stopped = false;
  let client: pg.Client | undefined;
  const once = async () => {
    client ??= await open(url);
    const id = randomUUID();
    const code = await transfer(client, side, id);
    if (code === 'done') tally.acknowledged.add(id);
    if (code === 'MG001') tally.refused += 1;
    // Its connection broke: whether it was written is not known, so nothing is claimed.
    if (code === '' || code.startsWith('57P') || code.startsWith('08')) {
      await client.end().catch(() => {});
      client = undefined;
    }
  };
  const working = (async () => {
    while (!stopped) {
      await once().catch(() => {
        client = undefined;
      });
      await sleep(pauseMs);
    }
    await client?.end().catch(() => {});
  })();
  return {
    async stop(): Promise<Tally> {
      stopped = true;
      await working;
      return tally;
    },
  };
}

async function open(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'straggler',
    connectionTimeoutMillis: 10_000,
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** 'done', or the SQLSTATE of what came instead ('': the connection broke). */
async function transfer(client: pg.Client, side: 'blue' | 'green', id: string): Promise<string> {
  const from = randomInt(1, accountsMax);
  const to = randomInt(from + 1, accountsMax + 1);
  const [take, give, write] = transfers[side];
  try {
    await client.query('begin');
    await client.query(take, [from]);
    await client.query(give, [to]);
    await client.query(write, [id, from, to]);
    await client.query('commit');
    return 'done';
  } catch (error) {
    await client.query('rollback').catch(() => {});
    return error instanceof Error && 'code' in error ? String(error.code) : '';
  }
}
