import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Database } from '#server/store/database.ts';
import { openTestStore, type TestStore } from '#server/testing/records.ts';
import { demoLogin, ensureDemoUser } from './demo.ts';
import { openPasswords } from './password.ts';
import {
  findUserById,
  findUserByLogin,
  insertUser,
  isMailAddress,
  loginKeyOf,
  replacePasswordHash,
} from './user.ts';

let store: TestStore;
let database: Database;
let passwordHash: string;

beforeAll(async () => {
  store = await openTestStore();
  database = store.database;
  passwordHash = String(await openPasswords().hash('correct horse'));
});

afterAll(() => store?.close());

describe('a login', () => {
  test.each([
    ['Ada@Example.COM', 'ada@example.com'],
    ['  ada@example.com ', 'ada@example.com'],
    ['ＡＤＡ@example.com', 'ada@example.com'],
  ])('%j is looked up as %j', (login, key) => {
    expect(loginKeyOf(login)).toBe(key);
  });

  test.each(['', 'ab', 'x'.repeat(256), 'a\u0000da@example.com', 'a\nb@c.example', '\ud800abc'])(
    '%j belongs to nobody',
    (login) => {
      expect(loginKeyOf(login)).toBeUndefined();
    },
  );

  test('at sign-up is one mail address', () => {
    const right = ['ada@example.com', 'a+b@mail.example.co.uk', 'ä@bücher.example'];
    const wrong = ['ada', 'ada@', '@example.com', 'ada@localhost', 'a b@example.com', 'a@b@c.de'];
    expect(right.filter(isMailAddress)).toEqual(right);
    expect(wrong.filter(isMailAddress)).toEqual([]);
  });
});

describe('users', () => {
  test('are found by login and by id, and by nothing else', async () => {
    const made = await insertUser(database, {
      login: 'Ada@example.com',
      name: 'Ada',
      passwordHash,
    });
    expect(made).toMatchObject({ login: 'Ada@example.com', name: 'Ada', emailVerified: false });
    expect(await findUserByLogin(database, 'ada@example.com')).toEqual(made);
    expect(await findUserById(database, made?.id ?? '')).toEqual(made);
    expect(await findUserById(database, "' or true --")).toBeUndefined();
    expect(await findUserByLogin(database, 'nobody@example.com')).toBeUndefined();
  });

  test('of one login are one, however it is written and however many come at once', async () => {
    const made = await Promise.all(
      ['bob@example.com', 'BOB@example.com', 'Bob@Example.com'].map((login) =>
        insertUser(database, { login, name: '', passwordHash }),
      ),
    );
    expect(made.filter((user) => user !== undefined)).toHaveLength(1);
  });

  test('get a new hash only in place of the one that was checked', async () => {
    const user = await insertUser(database, { login: 'c@example.com', name: '', passwordHash });
    const id = user?.id ?? '';
    const after = `${passwordHash.slice(0, -1)}A`;
    expect(await replacePasswordHash(database, id, passwordHash, after)).toBe(true);
    expect(await replacePasswordHash(database, id, passwordHash, after)).toBe(false);
  });
});

describe('the demo user', () => {
  test('is made once, with the password in the file, also by several at once', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'gatehouse-demo-'));
    try {
      const made = await Promise.all(
        Array.from({ length: 4 }, () => ensureDemoUser(database, dataDir)),
      );
      const [{ password, file } = { password: '', file: '' }] = made;
      expect(new Set(made.map((demo) => demo.password)).size).toBe(1);
      expect(password).toMatch(/^[a-z2-9]{5}(-[a-z2-9]{5}){2}$/);
      expect((await readFile(file, 'utf8')).trim()).toBe(password);
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      const user = await findUserByLogin(database, demoLogin);
      expect(await openPasswords().verify(user?.passwordHash, password)).toBe('right');
      expect(await ensureDemoUser(database, dataDir)).toEqual(made[0]);

      const entries = {
        name: 'demo_entries',
        text: "select a.actor_kind, a.target from audit a where a.action = 'user.create'",
      };
      expect(await database.query(entries, [])).toEqual([
        { actor_kind: 'system', target: user?.id },
      ]);

      await rm(file);
      const renewed = await ensureDemoUser(database, dataDir);
      const after = await findUserByLogin(database, demoLogin);
      expect(renewed.password).not.toBe(password);
      expect(after?.id).toBe(user?.id);
      expect(await openPasswords().verify(after?.passwordHash, renewed.password)).toBe('right');
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});
