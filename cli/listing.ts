import type { Admin } from './admin.ts';

/** A JSON object of the admin API. */
export type Document = ReadonlyMap<string, unknown>;

/** Entries asked for at once: a long listing comes in several answers. */
const pageSize = 200;

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
