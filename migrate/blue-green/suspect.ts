import type pg from 'pg';
import type { Sessions } from './checks.ts';
import type { Difference } from './difference.ts';
import { textOf } from './names.ts';
import {
  type KeyRange,
  type ResolvedTable,
  rowHashesOfKeys,
  rowHashesOfRange,
} from './projection.ts';
import type { Route } from './resolve.ts';
import type { Ends } from './transfer.ts';

/** Rows that differed when both sides were read one after the other: wrong, or merely late. */
export interface Suspect {
  readonly route: Route;
  readonly table: ResolvedTable;
  readonly keys: readonly string[];
}

export const keysIn = (suspects: readonly Suspect[]) =>
  suspects.reduce((sum, { keys }) => sum + keys.length, 0);

/** Keys of the rows of a range that differ; only rows of these buckets are looked at. */
export async function differingKeys(
  { origin, destination }: Ends,
  table: ResolvedTable,
  range: KeyRange,
  buckets: readonly string[],
): Promise<readonly string[]> {
  const [ours, theirs] = await Promise.all([
    rowHashes(origin, rowHashesOfRange(table, 'origin', range), [buckets]),
    rowHashes(destination, rowHashesOfRange(table, 'destination', range), [buckets]),
  ]);
  return [...new Set([...ours.keys(), ...theirs.keys()])].filter(
    (key) => ours.get(key) !== theirs.get(key),
  );
}

/** At an exact point: what differs even here. */
export async function stillSuspect(
  suspects: readonly Suspect[],
  sessions: Sessions,
): Promise<readonly Suspect[]> {
  const still: Suspect[] = [];
  for (const suspect of suspects) {
    const keys = await differingOf(suspect, sessions);
    if (keys.length > 0) still.push({ ...suspect, keys: keys.map(({ key }) => key) });
  }
  return still;
}

/** At an exact point: how each row that differs does. */
export async function differencesOf(
  suspect: Suspect,
  sessions: Sessions,
): Promise<readonly Difference[]> {
  const { route, table } = suspect;
  return (await differingOf(suspect, sessions)).map(({ key, kind }) => {
    const parsed: unknown = JSON.parse(key);
    const texts = Array.isArray(parsed) ? parsed.map(String) : [];
    return { side: route.destination.side, table: textOf(table.target), key: texts, kind };
  });
}

interface Differing {
  readonly key: string;
  readonly kind: Difference['kind'];
}

async function differingOf(suspect: Suspect, sessions: Sessions): Promise<readonly Differing[]> {
  const { route, table, keys } = suspect;
  const values = [`[${keys.join(',')}]`];
  const ours = await rowHashes(
    sessions[route.origin.side],
    rowHashesOfKeys(table, 'origin'),
    values,
  );
  const theirs = await rowHashes(
    sessions[route.destination.side],
    rowHashesOfKeys(table, 'destination'),
    values,
  );
  return keys.flatMap((key): readonly Differing[] => {
    const [expected, actual] = [ours.get(key), theirs.get(key)];
    if (expected === actual) return [];
    const kind = actual === undefined ? 'missing' : expected === undefined ? 'extra' : 'differs';
    return [{ key, kind }];
  });
}

async function rowHashes(client: pg.Client, sql: string, values: readonly unknown[]) {
  const { rows } = await client.query<{ key: string; hash: string }>(sql, [...values]);
  const hashes = new Map<string, string>();
  // A projection that gives a key twice gives no row of the other side.
  for (const { key, hash } of rows) {
    const former = hashes.get(key);
    hashes.set(key, former === undefined ? hash : `${former} ${hash}`);
  }
  return hashes;
}
