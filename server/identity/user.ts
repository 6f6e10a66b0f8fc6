import { randomUUID } from 'node:crypto';
import { newId } from '#server/identifiers.ts';
import type { Database } from '#server/store/database.ts';

/** Someone who signs in at the built-in pages. The engine knows only `id`, as the subject. */
export interface User {
  readonly id: string;
  readonly login: string;
  readonly name: string;
  readonly passwordHash: string;
  readonly emailVerified: boolean;
  readonly disabled: boolean;
}

interface UserRow {
  readonly id: string;
  readonly login: string;
  readonly name: string;
  readonly password_hash: string;
  readonly email_verified: boolean;
  readonly disabled: boolean;
}

const loginCharactersMax = 255;
const nameCharactersMax = 255;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * What look-ups compare: the login without outer blanks, in NFKC lower case, so that no two users
 * have names that people take for one. Undefined: no user can have this login.
 */
export function loginKeyOf(login: string): string | undefined {
  if (login.length > 4 * loginCharactersMax) return undefined;
  const key = login.trim().normalize('NFKC').toLowerCase();
  // Code points, as PostgreSQL counts them in the table's CHECK.
  const characters = [...key].length;
  if (characters < 3 || characters > loginCharactersMax) return undefined;
  return /[\p{Cc}\p{Cs}]/u.test(key) ? undefined : key;
}

/** Why a user cannot have this login or name, as a sentence; undefined: they can. */
export function userProblem(login: string, name: string): string | undefined {
  const characters = [...login.trim()].length;
  if (loginKeyOf(login) === undefined || characters < 3 || characters > loginCharactersMax) {
    return `A login has 3 to ${loginCharactersMax} characters and no control characters.`;
  }
  return [...name].length > nameCharactersMax || /[\p{Cc}\p{Cs}]/u.test(name)
    ? `A name has at most ${nameCharactersMax} characters and no control characters.`
    : undefined;
}

/** True for what can be a user's login at sign-up: one mail address, loosely (RFC 5321 decides). */
export function isMailAddress(login: string): boolean {
  return /^[^\s@\p{C}]{1,64}@[^\s@.\p{C}]+(\.[^\s@.\p{C}]+)+$/u.test(login) && login.length <= 255;
}

/** The one statement that the built-in pages add to a login. Index: identity_user_login_key_key. */
export async function findUserByLogin(
  database: Database,
  loginKey: string,
): Promise<User | undefined> {
  const [row] = await database.query<UserRow>(
    {
      name: 'identity_user_by_login',
      text: `select id, login, name, password_hash, email_verified, disabled
        from identity_user where login_key = $1`,
    },
    [loginKey],
  );
  return row && userOf(row);
}

/** The user that a remembered session speaks of. Index: identity_user_pkey. */
export async function findUserById(database: Database, id: string): Promise<User | undefined> {
  // Subjects of another login app may be any string; they are nobody here.
  if (!uuid.test(id)) return undefined;
  const [row] = await database.query<UserRow>(
    {
      name: 'identity_user_by_id',
      text: `select id, login, name, password_hash, email_verified, disabled
        from identity_user where id = $1`,
    },
    [id],
  );
  return row && userOf(row);
}

/** What the audit log is told of a new user, in the same statement. */
export interface NewUserTrail {
  readonly action: 'user.create' | 'user.sign_up';
  readonly actorKind: 'subject' | 'system';
  readonly requestId: string;
  readonly address: string;
}

/**
 * Adds a user; undefined when the login is taken, which the unique index decides. Without `trail`
 * the caller writes the entry.
 */
export async function insertUser(
  database: Database,
  user: { readonly login: string; readonly name: string; readonly passwordHash: string },
  trail?: NewUserTrail,
): Promise<User | undefined> {
  const login = user.login.trim();
  const loginKey = loginKeyOf(login);
  if (loginKey === undefined) return undefined;
  // A random id: it becomes the subject, which apps see, and tells them nothing of the person.
  const [row] = await database.query<UserRow>(
    {
      name: 'identity_user_insert',
      text: `with made as (
          insert into identity_user (id, login, login_key, name, password_hash)
          values ($1, $2, $3, $4, $5)
          on conflict (login_key) do nothing
          returning id, login, name, password_hash, email_verified, disabled
        ), trail as (
          insert into audit (
            id, action, outcome, actor_kind, actor, target_kind, target, request_id, address)
          select $6, $7, 'done', $8::text, case $8::text when 'subject' then m.id::text else '' end,
            'subject', m.id::text, $9, $10
          from made m where $7::text is not null
        )
        select id, login, name, password_hash, email_verified, disabled from made`,
    },
    [
      randomUUID(),
      login,
      loginKey,
      user.name,
      user.passwordHash,
      newId(),
      trail?.action ?? null,
      trail?.actorKind ?? null,
      trail?.requestId ?? null,
      trail?.address ?? '',
    ],
  );
  return row && userOf(row);
}

/** Replaces a password hash; false when it is no longer `before`: somebody else was first. */
export async function replacePasswordHash(
  database: Database,
  id: string,
  before: string,
  after: string,
): Promise<boolean> {
  const rows = await database.query<{ id: string }>(
    {
      name: 'identity_user_replace_password',
      text: `update identity_user set password_hash = $3, updated_at = now()
        where id = $1 and password_hash = $2 returning id`,
    },
    [id, before, after],
  );
  return rows.length === 1;
}

/** Users in the order of their login keys, from the one after `after`. Index: ..._login_key_key. */
export async function listUsers(
  database: Database,
  after: string,
  countMax: number,
): Promise<readonly User[]> {
  const rows = await database.query<UserRow>(
    {
      name: 'identity_user_list',
      text: `select id, login, name, password_hash, email_verified, disabled
        from identity_user where login_key > $1 order by login_key limit $2`,
    },
    [after, countMax],
  );
  return rows.map(userOf);
}

/** Gives a user another password hash, whatever it was; false when there is no such user. */
export async function setPasswordHash(
  database: Database,
  id: string,
  passwordHash: string,
): Promise<boolean> {
  const rows = await database.query<{ id: string }>(
    {
      name: 'identity_user_set_password',
      text: `update identity_user set password_hash = $2, updated_at = now()
        where id = $1 returning id`,
    },
    [id, passwordHash],
  );
  return rows.length === 1;
}

/** Keeps a user from signing in, or lets them again; false when there is no such user. */
export async function setUserDisabled(
  database: Database,
  id: string,
  disabled: boolean,
): Promise<boolean> {
  const rows = await database.query<{ id: string }>(
    {
      name: 'identity_user_set_disabled',
      text: `update identity_user set disabled = $2, updated_at = now()
        where id = $1 returning id`,
    },
    [id, disabled],
  );
  return rows.length === 1;
}

function userOf(row: UserRow): User {
  return {
    id: row.id,
    login: row.login,
    name: row.name,
    passwordHash: row.password_hash,
    emailVerified: row.email_verified,
    disabled: row.disabled,
  };
}
