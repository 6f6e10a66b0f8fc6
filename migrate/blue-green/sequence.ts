import { isSequence, looseSequences, numberingSequences } from './catalog.ts';
import { prepared } from './database.ts';
import type { Run } from './migration.ts';
import { quoted, quotedTable, type TableName, textOf } from './names.ts';
import type { Route } from './resolve.ts';

/** A column that a sequence numbers. */
interface NumberedColumn {
  readonly table: TableName;
  readonly name: string;
  readonly numeric: boolean;
  readonly indexed: boolean;
}

/** How one sequence of the destination is put past what was issued. */
export interface SequenceMove {
  readonly to: TableName;
  /** The sequences of the origin that it continues: past each of them. */
  readonly from: readonly TableName[];
  /** Columns that it numbers: it goes past the greatest value there too; one that counts down, the least. */
  readonly columns: readonly NumberedColumn[];
}

/** What has to be moved on a route; asks the catalog, so well before anybody waits. */
export async function sequenceMoves(route: Route): Promise<readonly SequenceMove[]> {
  const targets = route.tables.map(({ target }) => target);
  const moves = new Map<string, SequenceMove>();
  const found = await numberingSequences(route.destination.main, targets);
  for (const { sequence, table, column, numeric, indexed } of found) {
    const known = moves.get(textOf(sequence))?.columns ?? [];
    const columns = [...known, { table, name: column, numeric, indexed }];
    moves.set(textOf(sequence), { to: sequence, from: [], columns });
  }
  for (const { from, to } of route.sequences) {
    const known = moves.get(textOf(to));
    const all = [...(known?.from ?? []), from];
    moves.set(textOf(to), { to, from: all, columns: known?.columns ?? [] });
  }
  return [...moves.values()];
}

/**
 * Sequences of which nobody could say, while writers wait, how far they have to go: a sentence each.
 * What is written after the last look would be numbered again.
 */
export function unknownEnds(route: Route, moves: readonly SequenceMove[]): readonly string[] {
  return moves.flatMap(({ to, from, columns }) => {
    const unknown = columns.find(({ numeric, indexed }) => !numeric || !indexed);
    if (from.length > 0 || unknown === undefined) return [];
    const { side } = route.destination;
    const column = `${textOf(unknown.table)}.${unknown.name}`;
    if (!unknown.numeric) {
      return [
        `${side}: sequence ${textOf(to)} is asked for the default of ${column}, which is no number, so ` +
          'its values do not say how far it went. Name it in "sequences" with the sequence of ' +
          `${route.origin.side} that it continues.`,
      ];
    }
    return [
      `${side}: sequence ${textOf(to)} numbers ${column}, of which no index finds the greatest value ` +
        `while writers wait. Name it in "sequences" with the sequence of ${route.origin.side} that ` +
        'it continues, or make an index that begins with the column.',
    ];
  });
}

/** Sequences without one in the origin to go on from. */
export function sequenceWarnings(route: Route, moves: readonly SequenceMove[]): readonly string[] {
  return moves.flatMap(({ to, from, columns }) => {
    if (from.length > 0) return [];
    const past = columns.map(({ table, name }) => `${textOf(table)}.${name}`).join(', ');
    return [
      `${route.destination.side}: sequence ${textOf(to)} will be set past the greatest ${past}; ` +
        'numbers issued and never stored may come again.',
    ];
  });
}

/** Sequences that an application of blue asks by name, as far as one can tell, and nobody moves. */
export async function looseWarnings({ blue, green, routes }: Run): Promise<readonly string[]> {
  const warnings: string[] = [];
  for (const loose of await looseSequences(blue.main)) {
    const name = textOf(loose);
    if (!(await isSequence(green.main, loose))) continue;
    for (const way of ['forward', 'reverse'] as const) {
      const ends = routes[way]?.sequences.flatMap(({ from, to }) => [from, to]);
      if (ends === undefined || ends.some((end) => textOf(end) === name)) continue;
      warnings.push(
        `${way}: sequence ${name} has issued numbers in blue and is no column's: where an application asks ` +
          'it by name, name it in "sequences", or the other side issues the same again.',
      );
    }
  }
  return warnings;
}

/**
 * What is left of the moves while writers wait: the greatest value of a column without an index would
 * be looked for in the whole table. It was, shortly before.
 */
export function quickMoves(moves: readonly SequenceMove[]): readonly SequenceMove[] {
  return moves.map((move) => ({ ...move, columns: move.columns.filter((c) => c.indexed) }));
}

/** How far the origin has issued numbers, per move: by each of the sequences that it continues. */
export async function issuedNumbers(
  route: Route,
  moves: readonly SequenceMove[],
): Promise<readonly (readonly string[])[]> {
  const issued = async (from: TableName) => {
    const { rows } = await route.origin.main.query<{ value: string }>(
      prepared(
        `select (case when s.is_called then s.last_value else s.last_value - q.seqincrement end)::text
           as value
         from ${quotedTable(from)} s, pg_sequence q where q.seqrelid = $1::text::regclass`,
        [quotedTable(from)],
      ),
    );
    return rows.map(({ value }) => value);
  };
  return Promise.all(moves.map(async ({ from }) => (await Promise.all(from.map(issued))).flat()));
}

/** Puts every sequence past what was issued and what is stored; none ever goes back. */
export async function moveSequences(
  route: Route,
  moves: readonly SequenceMove[],
  issued: readonly (readonly string[])[],
): Promise<void> {
  await Promise.all(
    moves.map(({ to, columns }, at) => {
      const numeric = columns.filter((column) => column.numeric);
      // Where there is nothing to go past it is null, and the sequence stays.
      const past = (most: 'max' | 'min') =>
        [
          `(select ${most}(i) from unnest($1::bigint[]) i)`,
          ...numeric.map(
            ({ name, table }) =>
              `(select ${most}(t.${quoted(name)})::bigint from ${quotedTable(table)} t)`,
          ),
        ].join(', ');
      return route.destination.main.query(
        prepared(
          `select setval($2::text::regclass, past.value)
           from (select q.seqincrement > 0 as up,
               case when q.seqincrement > 0 then greatest(${past('max')})
                 else least(${past('min')}) end as value
             from pg_sequence q where q.seqrelid = $2::text::regclass) past, ${quotedTable(to)} s
           where (s.last_value < past.value) = past.up and s.last_value <> past.value
             or s.last_value = past.value and not s.is_called`,
          [issued[at] ?? [], quotedTable(to)],
        ),
      );
    }),
  );
}
