import type pg from 'pg';
import { foreignKeys } from './catalog.ts';
import { note } from './control.ts';
import { type Side, withSession } from './database.ts';
import { type Difference, storeDifferences } from './difference.ts';
import { sentenceOf } from './failure.ts';
import { atExactPoint, withEnds } from './follow.ts';
import type { Check } from './mapping.ts';
import { type Run, routeOf, standing } from './migration.ts';
import { quoted, quotedTable, textOf } from './names.ts';
import {
  type KeyRange,
  nextBound,
  type ResolvedTable,
  rangeHash,
  rowHashesOfKeys,
  rowHashesOfRange,
} from './projection.ts';
import { markVerified, readRanges } from './range.ts';
import { mappedTables, type Route } from './resolve.ts';

/** What a verification found. */
export interface Verdict {
  readonly differences: readonly Difference[];
  /** There were more than are listed. */
  readonly more: boolean;
  /** Sentences of checks that do not hold. */
  readonly broken: readonly string[];
  readonly rows: number;
  readonly ranges: number;
  readonly ms: number;
}

/** True: both sides hold the same, and every check holds. */
export const isSound = (verdict: Verdict) =>
  verdict.differences.length === 0 && verdict.broken.length === 0;

/** Keys that are compared one by one at most; past that a table is simply wrong. */
const suspectsMax = 200_000;

type Sessions = Readonly<Record<Side, pg.Client>>;

interface Suspect {
  readonly route: Route;
  readonly table: ResolvedTable;
  readonly keys: readonly string[];
}

/**
 * Compares both databases in both directions while writes go on. First counts and hashes of every
 * range, at any moment; ranges that differ are looked at row by row; what still differs is compared
 * at one exact point, where the checks run too. Nothing that was merely under way is reported.
 */
export async function verify(run: Run, workers: number): Promise<Verdict> {
  const startedMs = performance.now();
  const { phase } = await standing(run.blue, run.green, run.routes.forward.tables.length);
  const flow = routeOf(run, phase);
  const routes = [run.routes.forward, run.routes.reverse].filter((route) => route !== undefined);
  const suspects: Suspect[] = [];
  const counted = { rows: 0, ranges: 0 };
  for (const route of routes) {
    suspects.push(...(await suspectsOf(run, route, workers, counted)));
  }
  const verdict = await withEnds(flow, (ends) =>
    atExactPoint(ends, flow, async () => {
      const sessions: Sessions =
        flow.origin.side === 'blue'
          ? { blue: ends.origin, green: ends.destination }
          : { blue: ends.destination, green: ends.origin };
      const differences = [];
      for (const suspect of suspects) differences.push(...(await compareKeys(suspect, sessions)));
      return { differences, broken: await brokenChecks(run, sessions) };
    }),
  );
  await storeDifferences(run.green.main, verdict.differences);
  const ms = Math.round(performance.now() - startedMs);
  const all = suspects.reduce((sum, { keys }) => sum + keys.length, 0);
  const found = { ...verdict, ...counted, more: all >= suspectsMax, ms };
  await note(run.green, 'verified', {
    rows: found.rows,
    ms,
    differences: found.differences.length,
    broken: found.broken,
  });
  return found;
}

async function suspectsOf(
  run: Run,
  route: Route,
  workers: number,
  counted: { rows: number; ranges: number },
): Promise<readonly Suspect[]> {
  const queue = await rangesOf(run, route);
  const suspects: Suspect[] = [];
  let keys = 0;
  const work = () =>
    withEnds(route, async ({ origin, destination }) => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        run.signal.throwIfAborted();
        const { table, range, id } = next;
        const [ours, theirs] = await Promise.all([
          hashOf(origin, rangeHash(table, 'origin', range)),
          hashOf(destination, rangeHash(table, 'destination', range)),
        ]);
        counted.rows += Number(theirs.rows);
        counted.ranges += 1;
        run.report.progress({
          phase: `verify ${route.destination.side}`,
          rowsDone: counted.rows,
          rowsAll: counted.rows + queue.length * table.rangeRows,
        });
        if (ours.rows === theirs.rows && ours.hash === theirs.hash) {
          if (id !== undefined) await markVerified(destination, [{ id, hash: ours.hash }]);
          continue;
        }
        if (keys >= suspectsMax) continue;
        const found = await differingKeys(origin, destination, table, range);
        keys += found.length;
        if (found.length > 0) suspects.push({ route, table, keys: found });
      }
    });
  await Promise.all(Array.from({ length: Math.max(1, workers) }, work));
  return suspects;
}

/** The ranges of the copy where there are some, else ranges cut from the origin now. */
async function rangesOf(run: Run, route: Route) {
  const stored = route === run.routes.forward ? await readRanges(run.green.main) : [];
  const found: { table: ResolvedTable; range: KeyRange; id: number | undefined }[] = [];
  for (const table of route.tables) {
    const own = stored.filter((range) => range.table === textOf(table.target));
    for (const range of own) found.push({ table, range, id: range.id });
    if (own.length > 0) continue;
    for (const range of await cut(route, table)) found.push({ table, range, id: undefined });
  }
  return found;
}

async function cut(route: Route, table: ResolvedTable): Promise<readonly KeyRange[]> {
  return withSession(route.origin, async (client) => {
    const ranges: KeyRange[] = [];
    let low: readonly string[] | null = null;
    for (;;) {
      const { rows }: pg.QueryResult<{ key: string[] }> = await client.query(nextBound(table, low));
      const high: readonly string[] | null = rows[0]?.key ?? null;
      ranges.push({ low, high });
      if (high === null) return ranges;
      low = high;
    }
  });
}

async function hashOf(client: pg.Client, sql: string) {
  const { rows } = await client.query<{ rows: string; hash: string }>(sql);
  return rows[0] ?? { rows: '0', hash: '0' };
}

async function rowHashes(client: pg.Client, sql: string, values: readonly unknown[]) {
  const { rows } = await client.query<{ key: string; hash: string }>(sql, [...values]);
  return new Map(rows.map(({ key, hash }) => [key, hash]));
}

async function differingKeys(
  origin: pg.Client,
  destination: pg.Client,
  table: ResolvedTable,
  range: KeyRange,
): Promise<readonly string[]> {
  const ours = await rowHashes(origin, rowHashesOfRange(table, 'origin', range), []);
  const theirs = await rowHashes(destination, rowHashesOfRange(table, 'destination', range), []);
  return [...new Set([...ours.keys(), ...theirs.keys()])].filter(
    (key) => ours.get(key) !== theirs.get(key),
  );
}

async function compareKeys(suspect: Suspect, sessions: Sessions): Promise<readonly Difference[]> {
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
  return keys.flatMap((key): readonly Difference[] => {
    const [expected, actual] = [ours.get(key), theirs.get(key)];
    if (expected === actual) return [];
    const kind = actual === undefined ? 'missing' : expected === undefined ? 'extra' : 'differs';
    const parsed: unknown = JSON.parse(key);
    const texts = Array.isArray(parsed) ? parsed.map(String) : [];
    return [{ side: route.destination.side, table: textOf(table.target), key: texts, kind }];
  });
}

async function brokenChecks(run: Run, sessions: Sessions): Promise<readonly string[]> {
  const broken: string[] = [];
  for (const check of run.mapping.checks) {
    const said = await checkOne(check, sessions).catch(
      (error: unknown) => `${check.name}: it cannot be asked: ${sentenceOf(error)}`,
    );
    if (said !== undefined) broken.push(said);
  }
  for (const side of ['blue', 'green'] as const) {
    broken.push(...(await brokenReferences(run, side, sessions[side])));
  }
  return broken;
}

async function checkOne(check: Check, sessions: Sessions): Promise<string | undefined> {
  if ('equal' in check) {
    const [blue, green] = [
      await rowsOf(sessions.blue, check.equal.blue),
      await rowsOf(sessions.green, check.equal.green),
    ];
    if (blue === green) return undefined;
    return `${check.name}: blue says ${blue}, green says ${green}`;
  }
  const sides = check.on === 'both' ? (['blue', 'green'] as const) : [check.on];
  for (const side of sides) {
    const found = await rowsOf(sessions[side], check.violations);
    if (found !== '[]') return `${check.name}, ${side}: ${found}`;
  }
  return undefined;
}

/** The first rows of a query as JSON. */
async function rowsOf(client: pg.Client, sql: string): Promise<string> {
  const { rows } = await client.query<{ found: string }>(
    `select coalesce(json_agg(q), '[]')::text as found from (
       select to_json(c) as q from (${sql}\n) c limit 10) q`,
  );
  return rows[0]?.found ?? '[]';
}

/** Foreign keys are not checked while the tool writes, so they are asked here. */
async function brokenReferences(
  run: Run,
  side: Side,
  client: pg.Client,
): Promise<readonly string[]> {
  const broken: string[] = [];
  for (const key of await foreignKeys(client, mappedTables(run.routes, side))) {
    const on = key.columns.map(
      (name, at) => `p.${quoted(key.referred[at] ?? '')} = c.${quoted(name)}`,
    );
    const given = key.columns.map((name) => `c.${quoted(name)} is not null`);
    const { rows } = await client.query<{ found: string }>(
      `select json_build_array(${key.columns.map((name) => `c.${quoted(name)}`).join(', ')})::text
         as found
       from ${quotedTable(key.table)} c where ${given.join(' and ')} and not exists (
         select 1 from ${quotedTable(key.refers)} p where ${on.join(' and ')}) limit 3`,
    );
    if (rows.length === 0) continue;
    const values = rows.map(({ found }) => found).join(', ');
    broken.push(
      `${side}: ${textOf(key.table)} refers to rows of ${textOf(key.refers)} that are not there ` +
        `(${key.name}: ${values})`,
    );
  }
  return broken;
}
