import pg from 'pg';

/** A table by its schema and name, as the catalog spells them. */
export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** Understands `account` (in schema public) and `schema.account`; undefined for anything else. */
export function parseTableName(text: string): TableName | undefined {
  const parts = text.split('.');
  if (parts.length > 2 || parts.some((part) => part === '')) return undefined;
  const [first = '', second] = parts;
  return second === undefined ? { schema: 'public', name: first } : { schema: first, name: second };
}

/** `schema.name`, as messages, the change log and the audit trail write it. */
export function textOf({ schema, name }: TableName): string {
  return `${schema}.${name}`;
}

/** The table as SQL. */
export function quotedTable({ schema, name }: TableName): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

/** An identifier as SQL. */
export function quoted(name: string): string {
  return pg.escapeIdentifier(name);
}

/** A text as SQL: for the places that take no parameter (COPY, DDL). */
export function literal(text: string): string {
  return pg.escapeLiteral(text);
}
