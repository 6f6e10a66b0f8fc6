import { MigrationRefused } from '#migrate/online/refused.ts';
import { ConfigError } from '#server/config/config.ts';
import { DatabaseRestored } from '#server/history.ts';
import { KeysError } from '#server/keys/master.ts';
import { EmbeddedPostgresError } from '#server/postgres/embedded-error.ts';
import { RecoveryRefused } from '#server/recovery.ts';
import { Failure } from './command.ts';

/**
 * What an operator is told of an error: sentences that say what to do, without a stack. Undefined:
 * a bug, which is shown whole.
 */
export function sentencesOf(error: unknown): readonly string[] | undefined {
  if (error instanceof ConfigError) return error.problems;
  const ours = [
    Failure,
    DatabaseRestored,
    RecoveryRefused,
    KeysError,
    EmbeddedPostgresError,
    MigrationRefused,
  ];
  if (error instanceof Error && ours.some((kind) => error instanceof kind)) return [error.message];
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  if (/^23[0-9A-Z]{3}$/.test(String(error.code))) return [brokenRule(error, String(error.code))];
  const path = 'path' in error && typeof error.path === 'string' ? error.path : undefined;
  if (error.code === 'EADDRINUSE' || error.code === 'EADDRNOTAVAIL' || error.code === 'EACCES') {
    const port = 'port' in error ? Number(error.port) : undefined;
    const address = 'address' in error ? String(error.address) : '';
    if (port !== undefined) return [cannotListen(address, port, error.code, undefined)];
  }
  if (path !== undefined && ['ENOENT', 'EACCES', 'EPERM', 'EISDIR'].includes(String(error.code))) {
    return [`${path} cannot be read or written (${error.code}).`];
  }
  return undefined;
}

/** PostgreSQL refuses a row; which one stands in the error too, and is not shown. */
function brokenRule(error: Error, code: string): string {
  const named = (name: string) => new Map(Object.entries(error)).get(name) ?? 'unknown';
  return (
    `PostgreSQL refuses this: it breaks the rule ${named('constraint')} of table ` +
    `${named('table')} (${code}). Nothing was changed: correct what was given.`
  );
}

/**
 * Takes the rows that PostgreSQL quotes out of an error and its causes: a bug is shown whole, but
 * not with the hashes of whoever was changed.
 */
export function withoutRows(error: unknown): unknown {
  const seen = new Set<unknown>();
  for (let at = error; at instanceof Error && !seen.has(at); at = at.cause) {
    seen.add(at);
    Reflect.deleteProperty(at, 'detail');
  }
  return error;
}

/** Why a listener could not be opened, and which setting gives it another place. */
export function cannotListen(
  host: string,
  port: number,
  code: string | undefined,
  setting: { readonly port: string; readonly host: string } | undefined,
): string {
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const ports = setting?.port ?? 'GATEHOUSE_PUBLIC_PORT, _ADMIN_PORT or _SAMPLE_PORT';
  if (code === 'EACCES') return `${place} may not be listened on by this user: change ${ports}.`;
  if (code === 'EADDRINUSE') {
    return `${place} is in use (by another Gatehouse?): stop that program, or change ${ports}.`;
  }
  const hosts = setting?.host ?? 'GATEHOUSE_PUBLIC_HOST or _ADMIN_HOST';
  return `${place} cannot be listened on (${code}): correct ${hosts}.`;
}

/**
 * An error of a connection to PostgreSQL as a sentence with host and port, never the password.
 * `setting` is the variable that the URL came from.
 */
export function databaseFailure(error: unknown, url: string, setting: string): Error {
  if (error instanceof MigrationRefused || error instanceof Failure) return error;
  const { place, user, database } = addressed(url);
  const code = codeOf(error);
  const told = (sentence: string) => new Failure(sentence, { cause: error });
  if (code === '3D000') {
    return told(
      `There is no database "${database}" at ${place}: create it, or correct ${setting}.`,
    );
  }
  if (code.startsWith('28')) {
    return told(
      `PostgreSQL at ${place} does not let "${user}" in: check user and password in ${setting}.`,
    );
  }
  if (code === '42501') {
    return told(
      `The role "${user}" at ${place} may not read table schema_migration: run ` +
        '`gatehouse schema up` with GATEHOUSE_DATABASE_OWNER_URL set.',
    );
  }
  if (code === '08P01') {
    return told(
      `What answers at ${place} takes no start-up parameters: a PgBouncer needs ` +
        '`ignore_startup_parameters = options` and settings on the role (docs/operations.md).',
    );
  }
  if (code === '53300') return told(`PostgreSQL at ${place} has no connection left.`);
  const why = /^(E[A-Z]+|[0-9A-Z]{5})$/.test(code) ? code : 'no answer in time';
  return told(
    `PostgreSQL at ${place} cannot be reached (${why}): start it, or correct ${setting}.`,
  );
}

/** Where a URL leads, in words that may be shown. */
function addressed(url: string) {
  try {
    const parsed = new URL(url);
    const host = parsed.searchParams.get('host') || parsed.hostname || 'localhost';
    const port = parsed.searchParams.get('port') || parsed.port || '5432';
    const user = decodeURIComponent(parsed.username) || (parsed.searchParams.get('user') ?? '');
    return { place: `${host}:${port}`, user, database: parsed.pathname.slice(1) };
  } catch {
    return { place: 'the configured address', user: '', database: '' };
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if ('code' in error && typeof error.code === 'string') return error.code;
  // A host name with several addresses: each was tried, and each has its own error.
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  return error.cause === undefined ? '' : codeOf(error.cause);
}
