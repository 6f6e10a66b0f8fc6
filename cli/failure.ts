import { MigrationRefused } from '#migrate/online/refused.ts';
import { ConfigError } from '#server/config/config.ts';
import { DatabaseRestored } from '#server/feed/history.ts';
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
  if (error instanceof Error && isSentence(error)) return [error.message];
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  if (/^23[0-9A-Z]{3}$/.test(String(error.code))) return [brokenRule(error, String(error.code))];
  const path = 'path' in error && typeof error.path === 'string' ? error.path : undefined;
  if (error.code === 'EADDRINUSE' || error.code === 'EADDRNOTAVAIL' || error.code === 'EACCES') {
    const port = 'port' in error ? Number(error.port) : undefined;
    const address = 'address' in error ? String(error.address) : '';
    if (port !== undefined) return [cannotListen(address, port, error.code, undefined)];
  }
  if (path !== undefined && /^E[A-Z]+$/.test(String(error.code))) {
    return [`${path} cannot be read or written (${error.code}).`];
  }
  return undefined;
}

/** True where the message is for the operator. */
function isSentence(error: Error): boolean {
  return [
    Failure,
    DatabaseRestored,
    RecoveryRefused,
    KeysError,
    EmbeddedPostgresError,
    MigrationRefused,
  ].some((kind) => error instanceof kind);
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
 * What PostgreSQL or the way to it refuses, as a sentence with host and port, never the password;
 * another error as it is. `setting` is the variable that the URL came from.
 */
export function databaseFailure(error: unknown, url: string, setting: string): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  if (isSentence(error)) return error;
  const address = addressed(url);
  const code = codeOf(error);
  const away = `cannot be reached (${code || 'no answer in time'}): start it, or correct ${setting}.`;
  const sentence =
    refusal(code, address, setting) ??
    (isOfConnection(error, code) ? `PostgreSQL at ${address.place} ${away}` : undefined);
  return sentence === undefined ? error : new Failure(sentence, { cause: error });
}

/** What an SQLSTATE or an error of the connection means to an operator, and what to do. */
function refusal(
  code: string,
  { place, user, database }: ReturnType<typeof addressed>,
  setting: string,
): string | undefined {
  if (code === '3D000') {
    return `There is no database "${database}" at ${place}: create it, or correct ${setting}.`;
  }
  if (code.startsWith('28')) {
    return `PostgreSQL at ${place} does not let "${user}" in: check user and password in ${setting}.`;
  }
  if (code === '42501') {
    return (
      `The role "${user}" at ${place} lacks a right: set GATEHOUSE_DATABASE_OWNER_URL to the role ` +
      "that owns the tables. `gatehouse schema up` with it gives the server's role its rights."
    );
  }
  if (code === '08P01') {
    return (
      `What answers at ${place} takes no start-up parameters: a PgBouncer needs ` +
      '`ignore_startup_parameters = options` and settings on the role (docs/operations.md).'
    );
  }
  if (code === '53300') return `PostgreSQL at ${place} has no connection left.`;
  if (code === '53100') {
    return `PostgreSQL at ${place} has no space left on its disk: docs/ops/disk-full.md.`;
  }
  if (code === '25006') {
    return `PostgreSQL at ${place} only reads, as a standby does: correct ${setting}.`;
  }
  if (/^(55P03|40P01|40001)$/.test(code)) {
    return `Others hold what is needed in PostgreSQL at ${place}: try again.`;
  }
  if (/CERT|TLS|SIGNATURE/.test(code)) {
    return (
      `The certificate of PostgreSQL at ${place} is not accepted (${code}): see sslmode and ` +
      `sslrootcert in ${setting}.`
    );
  }
  return undefined;
}

/** True where PostgreSQL was not reached, or went away; anything else is a bug of ours. */
function isOfConnection({ name, message }: Error, code: string): boolean {
  if (name === 'DatabaseUnavailable') return true;
  if (code !== '') return /^(E[A-Z]+|(08|53|57|58)[0-9A-Z]{3})$/.test(code);
  return /timeout|terminated|connection|ended/i.test(message);
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
