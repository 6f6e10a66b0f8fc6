// A process of its own beside a migration, which never hears of it:
//
//   node migrate/testing/witness.ts --blue URL --green URL --ledger FILE
//
// It asks again and again whether both databases say that they are live, tries writes on both in
// transactions that are open at the same time, and has on each side a superuser who goes on writing
// there. What those were told is written goes into the ledger. At SIGTERM it prints a Testimony.
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { type Side, sides } from '#migrate/client/seam.ts';

/** What was seen. */
export interface Testimony {
  /** How often both sides were looked at. */
  readonly looks: number;
  /** Both said that they were live: green, between two answers of blue. */
  readonly twoLive: number;
  /** Both took a write within one moment. */
  readonly bothTook: number;
  /** Writes of the stragglers, and of nobody else, that were refused with MG001 or done. */
  readonly refused: Readonly<Record<Side, number>>;
  readonly done: Readonly<Record<Side, number>>;
  /** Whatever else they were told, once each; 20 at most. */
  readonly otherwise: readonly string[];
}

const lookEveryMs = 20;
const writeEveryMs = 50;

const touch: Readonly<Record<Side, string>> = {
  blue: 'update account set status = status where id = 1',
  green: 'update wallet set currency = currency where id = 1',
};
const insert: Readonly<Record<Side, string>> = {
  blue: "insert into transfer (id, from_id, to_id, cents, note) values ($1, 1, 2, 1, 'straggler')",
  green: `insert into movement (id, from_id, to_id, amount, note, at)
          values ($1, 1, 2, 0.01, 'straggler', now())`,
};

const { values } = parseArgs({
  options: { blue: { type: 'string' }, green: { type: 'string' }, ledger: { type: 'string' } },
});
const { blue = '', green = '', ledger = '' } = values;
const urls: Readonly<Record<Side, string>> = { blue, green };
const stopping = new AbortController();
process.once('SIGTERM', () => stopping.abort());
process.stdout.write(`${JSON.stringify(await bearWitness())}\n`);

/** What one look or one write adds to. */
interface Notes {
  looks: number;
  twoLive: number;
  bothTook: number;
  readonly refused: Record<Side, number>;
  readonly done: Record<Side, number>;
  readonly otherwise: Set<string>;
  /** Both have said what they are: from here on, to the end and after it, one refuses writes. */
  guarded: boolean;
}

async function bearWitness(): Promise<Testimony> {
  const notes: Notes = {
    looks: 0,
    twoLive: 0,
    bothTook: 0,
    refused: { blue: 0, green: 0 },
    done: { blue: 0, green: 0 },
    otherwise: new Set(),
    guarded: false,
  };
  const file = openSync(ledger, 'a');
  await Promise.all([look(notes), ...sides.map((side) => straggle(side, notes, file))]);
  closeSync(file);
  const { guarded: _, otherwise, ...seen } = notes;
  return { ...seen, otherwise: [...otherwise] };
}

async function connect(side: Side): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: urls[side], application_name: 'witness' });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function look(notes: Notes): Promise<void> {
  const clients = { blue: await connect('blue'), green: await connect('green') };
  while (!stopping.signal.aborted) {
    // Blue twice: an answer of green that is later than blue's first proves nothing against it.
    const [before, there] = [await stateOf(clients.blue), await stateOf(clients.green)];
    if (before === 'live' && there === 'live' && (await stateOf(clients.blue)) === 'live') {
      notes.twoLive += 1;
    }
    notes.guarded ||= before !== undefined && there !== undefined;
    for (const side of sides) await clients[side].query('begin');
    const told = [];
    for (const side of sides) told.push(await attempt(clients[side], side, notes, touch[side], []));
    if (notes.guarded && told.every((one) => one === 'done')) notes.bothTook += 1;
    for (const side of sides) await clients[side].query('rollback');
    notes.looks += 1;
    await sleep(lookEveryMs);
  }
  for (const side of sides) await clients[side].end();
}

/** A superuser who was connected before it all began, and writes on. */
async function straggle(side: Side, notes: Notes, file: number): Promise<void> {
  const client = await connect(side);
  while (!stopping.signal.aborted) {
    const id = randomUUID();
    // Before that green is empty, and takes anything.
    if (side === 'blue' || notes.guarded) {
      const told = await attempt(client, side, notes, insert[side], [id]);
      if (told === 'done') writeSync(file, `${id}\n`);
      if (told !== 'otherwise') notes[told][side] += 1;
    }
    await sleep(writeEveryMs);
  }
  await client.end();
}

async function attempt(
  client: pg.Client,
  side: Side,
  notes: Notes,
  sql: string,
  given: readonly unknown[],
): Promise<'done' | 'refused' | 'otherwise'> {
  try {
    await client.query(sql, [...given]);
    return 'done';
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MG001') return 'refused';
    if (notes.otherwise.size < 20) notes.otherwise.add(`${side}: ${String(error)}`);
    return 'otherwise';
  }
}

async function stateOf(client: pg.Client): Promise<string | undefined> {
  const { rows } = await client.query<{ there: boolean }>(
    "select to_regclass('migrate.seam') is not null as there",
  );
  if (rows[0]?.there !== true) return undefined;
  const seam = await client
    .query<{ state: string }>('select s.state from migrate.seam s')
    .catch(() => undefined);
  return seam?.rows[0]?.state;
}
