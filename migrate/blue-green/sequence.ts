import { ownedSequences } from './catalog.ts';
import { prepared } from './database.ts';
import { quoted, quotedTable, type TableName, textOf } from './names.ts';
import type { Route } from './resolve.ts';

/** How one sequence of the destination is put past what was issued. */
export interface SequenceMove {
  readonly to: TableName;
  /** The sequence of the origin that it continues. */
  readonly from: TableName | undefined;
  /** A column that it belongs to: it goes past the greatest value there too. */
  readonly column:
    | { readonly table: TableName; readonly name: string; readonly indexed: boolean }
    | undefined;
}

/** What has to be moved on a route; asks the catalog, so well before anybody waits. */
export async function sequenceMoves(route: Route): Promise<readonly SequenceMove[]> {
  const targets = route.tables.map(({ target }) => target);
  const owned = await ownedSequences(route.destination.main, targets);
  const moves = new Map<string, SequenceMove>();
  for (const { sequence, table, column, indexed } of owned) {
    moves.set(textOf(sequence), {
      to: sequence,
      from: undefined,
      column: { table, name: column, indexed },
    });
  }
  for (const { from, to } of route.sequences) {
    moves.set(textOf(to), { to, from, column: moves.get(textOf(to))?.column });
  }
  return [...moves.values()];
}

/**
 * What is left of the moves while writers wait: the greatest value of a column without an index would
 * be looked for in the whole table. It was, shortly before.
 */
export function quickMoves(moves: readonly SequenceMove[]): readonly SequenceMove[] {
  return moves.map((move) => (move.column?.indexed ? move : { ...move, column: undefined }));
}

/** How far the origin has issued numbers, per move. */
export async function issuedNumbers(
  route: Route,
  moves: readonly SequenceMove[],
): Promise<readonly string[]> {
  return Promise.all(
    moves.map(async ({ from }) => {
      if (from === undefined) return '0';
      const { rows } = await route.origin.main.query<{ value: string }>(
        prepared(`select s.last_value::text as value from ${quotedTable(from)} s`, []),
      );
      return rows[0]?.value ?? '0';
    }),
  );
}

/** Puts every sequence past what was issued and what is stored; none ever goes back. */
export async function moveSequences(
  route: Route,
  moves: readonly SequenceMove[],
  issued: readonly string[],
): Promise<void> {
  await Promise.all(
    moves.map(({ to, column }, at) => {
      const stored =
        column === undefined
          ? 'null'
          : `(select max(t.${quoted(column.name)})::bigint from ${quotedTable(column.table)} t)`;
      return route.destination.main.query(
        prepared(
          `select setval($2::text::regclass, past.value)
           from (select greatest($1::bigint, ${stored}) as value) past, ${quotedTable(to)} s
           where s.last_value < past.value`,
          [issued[at] ?? '0', quotedTable(to)],
        ),
      );
    }),
  );
}
