import type { Admin } from './admin.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { shown, table } from './help.ts';

/** A JSON object of the admin API. */
export type Document = ReadonlyMap<string, unknown>;

/** Entries asked for at once: a long listing comes in several answers. */
const pageSize = 200;
const limitMax = 100_000;

/** What to look at where a person is not known by what was given. */
export const noSubject =
  'Give the subject, not the login: `user list` shows both, for users of the built-in pages.';

/** A listing of the admin API from its first page on, at most `limit` entries of it. */
export async function listOf(
  admin: Admin,
  path: string,
  query: Readonly<Record<string, string>>,
  limit: number,
): Promise<readonly Document[]> {
  const size = String(Math.min(pageSize, limit));
  const documents: Document[] = [];
  let next: string | undefined = `${path}?${new URLSearchParams({ ...query, page_size: size })}`;
  while (next !== undefined && documents.length < limit) {
    const { body, link } = await admin.call('GET', next);
    if (Array.isArray(body)) documents.push(...body.map(documentOf));
    next = /<([^>]+)>;\s*rel="next"/.exec(link)?.[1];
  }
  return documents.slice(0, limit);
}

export function documentOf(body: unknown): Document {
  return new Map(Object.entries(Object(body)));
}

/** `--limit` of a listing. Throws {@link Failure} for what is no count. */
export function limitOf(input: Input, usual = 1000): number {
  const limit = Number(input.text('limit') ?? usual);
  if (!Number.isInteger(limit) || limit < 1 || limit > limitMax) {
    throw new Failure(`--limit must be a whole number, 1 to ${limitMax}.`);
  }
  return limit;
}

/** Shows a listing as JSON, as a table, or says that there is nothing. */
export function showListing(
  input: Input,
  terminal: Terminal,
  documents: readonly Document[],
  shape: {
    readonly heading: readonly string[];
    readonly cells: (document: Document) => readonly string[];
    readonly none: string;
    /** The `--limit` of the listing, where it has one. */
    readonly limit?: number;
  },
): void {
  if (input.flag('json')) {
    terminal.out(JSON.stringify(documents.map(plain), undefined, 2));
    return;
  }
  const rows = documents.map(shape.cells);
  terminal.out(rows.length === 0 ? shape.none : table(shape.heading, rows));
  if (documents.length === shape.limit)
    terminal.out(`These are ${shape.limit}; --limit shows more.`);
}

/** Shows one object as JSON, or a line for each field that says something. */
export function showDocument(input: Input, terminal: Terminal, document: Document): void {
  if (input.flag('json')) {
    terminal.out(JSON.stringify(plain(document), undefined, 2));
    return;
  }
  const names = [...document.keys()].filter((name) => field(document, name) !== '');
  const width = Math.max(0, ...names.map((name) => name.length));
  for (const name of names) terminal.out(`${name.padEnd(width)}  ${shown(field(document, name))}`);
}

/** A field as text for people; '' where there is none. */
export function field(document: Document, name: string): string {
  const value = document.get(name);
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) return value.map(String).join(' ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** The same object again, for JSON. */
export function plain(document: Document): unknown {
  return Object.fromEntries(document);
}
