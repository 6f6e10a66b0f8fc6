import { type Database, openForCommand } from '#server/store/database.ts';
import { type DemoUser, ensureDemoUser } from './demo.ts';
import { openPasswords, passwordProblem } from './password.ts';
import {
  findUserByLogin,
  insertUser,
  listUsers,
  loginKeyOf,
  setPasswordHash,
  setUserDisabled,
  type User,
  userProblem,
} from './user.ts';

/** A user as operators see them: without the password hash. */
export type ListedUser = Omit<User, 'passwordHash'>;

/** What could not be done, as a sentence for the operator. */
export interface RosterProblem {
  readonly problem: string;
}

/** The users of the built-in pages, for operators: the CLI and the start command. */
export interface Roster {
  /** By login, at most `countMax` of them, from the login after `after`. */
  list(after: string, countMax: number): Promise<readonly ListedUser[]>;
  create(user: {
    readonly login: string;
    readonly name: string;
    readonly password: string;
  }): Promise<ListedUser | RosterProblem>;
  /** Sessions and tokens stay; ending them is the engine's work. */
  setPassword(login: string, password: string): Promise<ListedUser | RosterProblem>;
  /** Sessions and tokens stay; ending them is the engine's work. */
  setDisabled(login: string, disabled: boolean): Promise<ListedUser | RosterProblem>;
  /** See {@link ensureDemoUser}. */
  ensureDemo(dataDir: string): Promise<DemoUser>;
  close(): Promise<void>;
}

/** Opens the users of a database, by the server's role. Nothing is connected until the first call. */
export function openRoster(url: string): Roster {
  const database = openForCommand(url);
  const passwords = openPasswords();

  async function hashed(password: string): Promise<string | RosterProblem> {
    const problem = passwordProblem(password);
    if (problem !== undefined) return { problem };
    const hash = await passwords.hash(password);
    return hash === 'busy' ? { problem: 'Too many passwords are being hashed; try again.' } : hash;
  }

  return {
    async list(after, countMax) {
      return (await listUsers(database, loginKeyOf(after) ?? '', countMax)).map(listed);
    },
    async create({ login, name, password }) {
      const problem = userProblem(login, name);
      if (problem !== undefined) return { problem };
      const passwordHash = await hashed(password);
      if (typeof passwordHash !== 'string') return passwordHash;
      const user = await insertUser(database, { login, name, passwordHash });
      return user === undefined ? { problem: `The login "${login}" is taken.` } : listed(user);
    },
    async setPassword(login, password) {
      const passwordHash = await hashed(password);
      if (typeof passwordHash !== 'string') return passwordHash;
      return changed(database, login, ({ id }) => setPasswordHash(database, id, passwordHash));
    },
    async setDisabled(login, disabled) {
      const user = await changed(database, login, ({ id }) =>
        setUserDisabled(database, id, disabled),
      );
      return 'problem' in user ? user : { ...user, disabled };
    },
    ensureDemo: (dataDir) => ensureDemoUser(database, dataDir),
    close: () => database.close(),
  };
}

async function changed(
  database: Database,
  login: string,
  change: (user: User) => Promise<boolean>,
): Promise<ListedUser | RosterProblem> {
  const key = loginKeyOf(login);
  const user = key === undefined ? undefined : await findUserByLogin(database, key);
  const there = user !== undefined && (await change(user));
  return there ? listed(user) : { problem: `There is no user with the login "${login}".` };
}

function listed({ id, login, name, emailVerified, disabled }: User): ListedUser {
  return { id, login, name, emailVerified, disabled };
}
