import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '#server/config/config.ts';
import { KeysError } from '#server/keys/master.ts';
import { RecoveryRefused } from '#server/recovery.ts';
import { Failure } from './command.ts';
import { cannotListen, databaseFailure, sentencesOf, withoutRows } from './failure.ts';

const url = 'postgres://ada:hunter2@db.example:6432/gate';
const coded = (code: string) => Object.assign(new Error('hunter2'), { code });

describe('PostgreSQL cannot be used', () => {
  test.each([
    [coded('ECONNREFUSED'), 'PostgreSQL at db.example:6432 cannot be reached (ECONNREFUSED)'],
    [new AggregateError([coded('ETIMEDOUT')]), 'cannot be reached (ETIMEDOUT)'],
    [new Error('timeout expired'), 'cannot be reached (no answer in time)'],
    [
      new Error('away', { cause: coded('28P01') }),
      'does not let "ada" in: check user and password',
    ],
    [coded('28000'), 'does not let "ada" in'],
    [coded('3D000'), 'There is no database "gate" at db.example:6432: create it'],
    [
      coded('42501'),
      'The role "ada" at db.example:6432 lacks a right: set GATEHOUSE_DATABASE_OWNER',
    ],
    [coded('08P01'), 'a PgBouncer needs `ignore_startup_parameters = options`'],
    [coded('53300'), 'has no connection left'],
    [new Error('full', { cause: coded('53100') }), 'no space left on its disk: docs/ops/disk-full'],
    [coded('25006'), 'PostgreSQL at db.example:6432 only reads, as a standby does'],
    [new Error('held', { cause: coded('55P03') }), 'Others hold what is needed'],
    [coded('SELF_SIGNED_CERT_IN_CHAIN'), 'The certificate of PostgreSQL at db.example:6432 is not'],
  ])('%s', (error, sentence) => {
    const failure = databaseFailure(error, url, 'GATEHOUSE_DATABASE_URL');
    expect(failure).toBeInstanceOf(Failure);
    expect(failure.message).toContain(sentence);
    expect(failure.message).not.toContain('hunter2');
  });

  test.each([
    coded('42703'),
    new TypeError('x is not a function'),
    new RecoveryRefused('A recovery was begun here and has not ended.'),
  ])('what is no refusal of PostgreSQL stays what it is: %s', (error) => {
    expect(databaseFailure(error, url, 'GATEHOUSE_DATABASE_URL')).toBe(error);
  });

  test('over a Unix socket the directory is named; of a broken URL nothing is', () => {
    const socket = 'postgres://u:hunter2@localhost:5432/d?host=/run/postgresql';
    const away = coded('ENOENT');
    expect(databaseFailure(away, socket, 'X').message).toContain('at /run/postgresql:5432');
    expect(databaseFailure(away, 'hunter2', 'X').message).not.toContain('hunter2');
  });
});

describe('what an operator can mend is told in sentences, a bug is not hidden', () => {
  test.each<[Error, string | undefined]>([
    [new ConfigError(['GATEHOUSE_X is not a setting.']), 'GATEHOUSE_X is not a setting.'],
    [new KeysError('The master key is missing.'), 'The master key is missing.'],
    [new Failure('Do this.'), 'Do this.'],
    [
      Object.assign(coded('EADDRINUSE'), { address: '127.0.0.1', port: 4444 }),
      '127.0.0.1:4444 is in use',
    ],
    [Object.assign(coded('ENOENT'), { path: 'tls.pem' }), 'tls.pem cannot be read'],
    [Object.assign(coded('EROFS'), { path: '.gatehouse' }), '.gatehouse cannot be read or written'],
    [new TypeError('x is not a function'), undefined],
    [
      Object.assign(coded('23514'), { table: 'identity_user', constraint: 'name_check' }),
      'breaks the rule name_check of table identity_user (23514)',
    ],
    [coded('42703'), undefined],
  ])('%s', (error, sentence) => {
    const sentences = sentencesOf(error);
    expect(sentences?.join() ?? '').not.toContain('hunter2');
    if (sentence === undefined) expect(sentences).toBeUndefined();
    else expect(sentences?.join()).toContain(sentence);
  });

  test('a row that PostgreSQL quotes is not shown, in whatever it is wrapped', () => {
    const row = { detail: 'Failing row contains (hunter2)' };
    const broken = new TypeError('x', { cause: Object.assign(coded('42703'), row) });
    expect(inspect(withoutRows(broken))).not.toContain('Failing row');
    const loop = Object.assign(new Error('y'), row);
    loop.cause = loop;
    expect(inspect(withoutRows(loop))).not.toContain('Failing row');
  });

  test('a port in use names the setting that changes it', () => {
    const setting = { port: 'GATEHOUSE_ADMIN_PORT', host: 'GATEHOUSE_ADMIN_HOST' };
    expect(cannotListen('127.0.0.1', 4445, 'EADDRINUSE', setting)).toMatch(/GATEHOUSE_ADMIN_PORT/);
    expect(cannotListen('127.0.0.1', 80, 'EACCES', setting)).toMatch(/GATEHOUSE_ADMIN_PORT/);
    expect(cannotListen('::2', 4445, 'EADDRNOTAVAIL', setting)).toMatch(/^\[::2\].*_ADMIN_HOST/);
  });
});
