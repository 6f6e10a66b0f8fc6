import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditAction } from '#server/audit/actions.ts';
import { recorded } from '#server/audit/operator.ts';
import type { Config } from '#server/config/config.ts';
import { readConfig } from '#server/config/environment.ts';
import {
  type ListedUser,
  openRoster,
  type Roster,
  type RosterProblem,
} from '#server/identity/roster.ts';
import { openAdmin } from './admin.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { type DatabaseAddress, reachableAddresses } from './database.ts';
import { databaseFailure } from './failure.ts';
import { table } from './help.ts';
import { readNewPassword } from './password-prompt.ts';

/**
 * A sign-in that read the user before the change may still wait for its password check: 30 places in
 * pairs of 25 ms each are 0.4 s. What it makes is ended by a second pass after that.
 */
const signInsUnderWayMs = 1000;
const listedDefault = 1000;
const listedMax = 100_000;

/** `gatehouse user list` */
export async function userList(input: Input, terminal: Terminal): Promise<number> {
  const countMax = Number(input.text('limit') ?? listedDefault);
  if (!Number.isInteger(countMax) || countMax < 1 || countMax > listedMax) {
    throw new Failure(`--limit must be a whole number, 1 to ${listedMax}.`);
  }
  const users = await withRoster(readConfig(), (roster) => {
    return roster.list(input.text('after') ?? '', countMax + 1);
  });
  const page = users.slice(0, countMax);
  if (input.flag('json')) {
    terminal.out(JSON.stringify(page.map(documentOf), undefined, 2));
    return 0;
  }
  const rows = page.map(({ login, name, id, disabled }) => [
    login,
    name,
    id,
    disabled ? 'disabled' : '',
  ]);
  terminal.out(rows.length === 0 ? 'There are no users.' : table(heading, rows));
  const last = page.at(-1);
  if (users.length > countMax && last) terminal.out(`More follow: --after "${last.login}"`);
  return 0;
}

const heading = ['login', 'name', 'subject', 'state'];

/** `gatehouse user create` */
export async function userCreate(input: Input, terminal: Terminal): Promise<number> {
  const config = readConfig();
  const address = await addressOf(config);
  const login = input.operand(0);
  const password = await readNewPassword(input);
  const { id } = await changed(address, 'user.create', login, (roster) =>
    roster.create({ login, name: input.text('name') ?? '', password }),
  );
  terminal.out(`User ${login} is made; subject ${id}.`);
  return 0;
}

/** `gatehouse user set-password` */
export async function userSetPassword(input: Input, terminal: Terminal): Promise<number> {
  const config = readConfig();
  const address = await addressOf(config);
  const login = input.operand(0);
  const password = await readNewPassword(input);
  const user = await changed(address, 'user.set_password', login, (roster) =>
    roster.setPassword(login, password),
  );
  terminal.out(`The password of ${user.login} is changed.`);
  // Whoever knew the old one may be signed in with it.
  const query = new URLSearchParams({ subject: user.id });
  const signOut = () =>
    through(config, 'DELETE', `/admin/oauth2/auth/sessions/login?${query}`, undefined);
  await twice(signOut);
  terminal.out('They are signed out everywhere. Apps they connected stay connected.');
  return 0;
}

/** `gatehouse user disable` */
export async function userDisable(input: Input, terminal: Terminal): Promise<number> {
  const config = readConfig();
  const login = input.operand(0);
  const address = await addressOf(config);
  const user = await changed(address, 'user.disable', login, (roster) =>
    roster.setDisabled(login, true),
  );
  terminal.out(`${user.login} can no longer sign in.`);
  const body = { subject: user.id, reason: 'user_disabled' };
  await twice(() => through(config, 'POST', '/admin/revocations', body));
  terminal.out('Their sessions, grants and tokens are dead.');
  return 0;
}

/** `gatehouse user enable` */
export async function userEnable(input: Input, terminal: Terminal): Promise<number> {
  const login = input.operand(0);
  const address = await addressOf(readConfig());
  const user = await changed(address, 'user.enable', login, (roster) =>
    roster.setDisabled(login, false),
  );
  terminal.out(`${user.login} can sign in again. What was revoked stays revoked.`);
  return 0;
}

/** At once, and again when every sign-in that was under way has come to its end. */
async function twice(job: () => Promise<void>): Promise<void> {
  await job();
  await sleep(signInsUnderWayMs);
  await job();
}

/** The part of a change that only the running server can do. */
async function through(config: Config, method: string, path: string, body: unknown): Promise<void> {
  try {
    await (await openAdmin(config)).call(method, path, body);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const left = 'Their sessions and tokens still live: repeat this command when it runs.';
    throw new Failure(`${error.message} ${left}`, { cause: error });
  }
}

/** Changes a user, with its entries in the audit log. Throws {@link Failure} where it is refused. */
async function changed(
  address: DatabaseAddress,
  action: AuditAction,
  login: string,
  change: (roster: Roster) => Promise<ListedUser | RosterProblem>,
): Promise<ListedUser> {
  const user = await withRosterAt(address, (roster) =>
    recorded(
      address.url,
      { action, targetKind: 'subject', detail: { login } },
      () => change(roster),
      (result) => ('problem' in result ? undefined : result.id),
    ),
  );
  return expected(user);
}

function expected(result: ListedUser | RosterProblem): ListedUser {
  if ('problem' in result) throw new Failure(result.problem);
  return result;
}

async function addressOf(config: Config): Promise<DatabaseAddress> {
  return (await reachableAddresses(config)).server;
}

async function withRoster<Result>(
  config: Config,
  work: (roster: Roster) => Promise<Result>,
): Promise<Result> {
  return withRosterAt(await addressOf(config), work);
}

/** Opens the users for one piece of work; errors of the database are sentences. */
export async function withRosterAt<Result>(
  { url, setting }: DatabaseAddress,
  work: (roster: Roster) => Promise<Result>,
): Promise<Result> {
  const roster = openRoster(url);
  try {
    return await work(roster);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === '42P01') {
      throw new Failure('The database has not all tables yet: run `gatehouse schema up` first.');
    }
    throw databaseFailure(error, url, setting);
  } finally {
    await roster.close();
  }
}

function documentOf({ id, login, name, emailVerified, disabled }: ListedUser) {
  return { subject: id, login, name, email_verified: emailVerified, disabled };
}
