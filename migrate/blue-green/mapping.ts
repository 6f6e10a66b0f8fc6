import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { Failure, sentenceOf } from './failure.ts';
import { parseTableName, textOf } from './names.ts';

const tableName = z
  .string()
  .refine(
    (text) => parseTableName(text) !== undefined,
    'write a table as "name" or "schema.name", without quotes',
  );
const columnNames = z
  .array(z.string().min(1))
  .min(1, 'name at least one column')
  .max(32)
  .refine((names) => new Set(names).size === names.length, 'name each column once');
const sql = z
  .string()
  .trim()
  .refine((text) => /^(select|with)\b/i.test(text), 'begin with "select" or "with"')
  .refine((text) => !text.endsWith(';'), 'leave the semicolon out: it becomes part of a statement');

const source = z.strictObject({
  /** A table of the origin whose rows the projection reads. */
  table: tableName,
  /** What capture logs of a changed row, old and new: enough to tell which target keys it affects. */
  columns: columnNames,
  /**
   * Target keys that a change affects: a query over `changed` (one row per changed row, with these
   * columns) and any table of the origin. Absent: the columns are the target key, in this order.
   */
  keys: sql.optional(),
});

const table = z.strictObject({
  /** The table that is filled. */
  target: tableName,
  /** Its primary key. It names rows, orders ranges and batches. */
  key: columnNames,
  /** The projection: columns named as in the target, one row per key. */
  select: sql,
  /** Every table that the projection reads. */
  sources: z.array(source).min(1, 'name every table that the projection reads').max(32),
  /** How many rows a range of the copy holds. */
  rangeRows: z.int().min(100).max(1_000_000).default(20_000),
});

const direction = z.strictObject({
  tables: z.array(table).min(1).max(500),
  /** A sequence of the destination continues where one of the origin stands. */
  sequences: z.array(z.strictObject({ from: tableName, to: tableName })).default([]),
});

const check = z.union([
  z.strictObject({
    name: z.string().min(1),
    on: z.enum(['blue', 'green', 'both']),
    /** Its rows are what is wrong; none is right. */
    violations: sql,
  }),
  z.strictObject({
    name: z.string().min(1),
    /** Both must give the same rows, at the same point of time. */
    equal: z.strictObject({ blue: sql, green: sql }),
  }),
]);

const mappingSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'use lower case letters, digits and hyphens'),
  /** Fills green from blue. */
  forward: direction,
  /** Fills blue from green, once green is live; without it there is no way back. */
  reverse: direction.optional(),
  checks: z.array(check).max(100).default([]),
});

/** What a mapping file holds; `export const mapping: MappingFile = {...}`. */
export type MappingFile = z.input<typeof mappingSchema>;
/** A mapping that makes sense by itself; whether it fits the databases is for `resolve`. */
export type Mapping = z.output<typeof mappingSchema>;
export type Direction = z.output<typeof direction>;
export type TableMapping = z.output<typeof table>;
export type Check = z.output<typeof check>;

/** Reads a mapping from a .json file, or from a .ts or .js file that exports `mapping`. */
export async function loadMapping(path: string): Promise<Mapping> {
  const found = path.endsWith('.json') ? await readJson(path) : await readModule(path);
  return parseMapping(found, path);
}

/** Checks the value of a mapping file; `path` stands in front of each message. */
export function parseMapping(value: unknown, path: string): Mapping {
  const parsed = mappingSchema.safeParse(value);
  if (!parsed.success) {
    const lines = parsed.error.issues.flatMap((issue) => sentencesOf(issue, []));
    throw new Failure(lines.map((line) => `${path}: ${line}`).join('\n'));
  }
  const problems = [
    ...directionProblems('forward', parsed.data.forward),
    ...(parsed.data.reverse ? directionProblems('reverse', parsed.data.reverse) : []),
  ];
  if (problems.length > 0) {
    throw new Failure(problems.map((problem) => `${path}: ${problem}`).join('\n'));
  }
  return parsed.data;
}

function directionProblems(way: string, direction: Direction): readonly string[] {
  const problems: string[] = [];
  const seen = new Map<string, number>();
  for (const [index, { target, key, sources }] of direction.tables.entries()) {
    const field = `${way}.tables[${index}]`;
    // "item" and "public.item" are one table.
    const name = textOf(parseTableName(target) ?? { schema: '', name: target });
    const earlier = seen.get(name);
    if (earlier !== undefined) {
      problems.push(
        `${field}.target: ${target} is filled by tables[${earlier}] already; join both projections ` +
          'into one (union all), so that a row has one origin',
      );
    }
    seen.set(name, index);
    for (const [at, source] of sources.entries()) {
      if (source.keys === undefined && source.columns.length !== key.length) {
        problems.push(
          `${field}.sources[${at}]: ${source.columns.length} columns cannot be the key ` +
            `(${key.join(', ')}); add "keys", a select over "changed" that gives the key`,
        );
      }
    }
  }
  return problems;
}

/** Where something may look in several ways, it says what keeps it from the way that is nearest. */
function sentencesOf(issue: z.core.$ZodIssue, outer: readonly PropertyKey[]): readonly string[] {
  const path = [...outer, ...issue.path];
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) {
    return [`${fieldOf(path)}: ${issue.message}`];
  }
  const [nearest = []] = issue.errors.toSorted((one, other) => one.length - other.length);
  return nearest.flatMap((inner) => sentencesOf(inner, path));
}

/** `forward.tables[0].key` */
function fieldOf(path: readonly PropertyKey[]): string {
  const written = path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('');
  return written.replace(/^\./, '') || 'the mapping';
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new Failure(`The mapping ${path} cannot be read: ${sentenceOf(error)}`);
  });
  try {
    return JSON.parse(text);
  } catch (error) {
    const said = sentenceOf(error);
    const position = Number(/position (\d+)/.exec(said)?.[1] ?? Number.NaN);
    const line = text.slice(0, position).split('\n').length;
    throw new Failure(`${path}:${Number.isNaN(position) ? 1 : line}: this is not JSON: ${said}`);
  }
}

async function readModule(path: string): Promise<unknown> {
  const loaded: unknown = await import(pathToFileURL(resolve(path)).href).catch(
    (error: unknown) => {
      throw new Failure(`The mapping ${path} cannot be loaded: ${sentenceOf(error)}`);
    },
  );
  const found = new Map(Object.entries(Object(loaded)));
  if (!found.has('mapping')) {
    throw new Failure(`${path} exports no "mapping": write export const mapping = {...}.`);
  }
  return found.get('mapping');
}
