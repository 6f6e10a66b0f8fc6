import { parseOptions, hash as rawHash } from '@node-rs/argon2';
import { describe, expect, test } from 'vitest';
import { isOutdated, openPasswords, passwordProblem } from './password.ts';

describe('passwords', () => {
  test('are hashed by argon2id with 19 MiB, two passes and one lane', async () => {
    const encoded = await openPasswords().hash('correct horse');
    expect(encoded).toMatch(/^\$argon2id\$v=19\$/);
    expect(parseOptions(encoded)).toMatchObject({
      memoryCost: 19_456,
      timeCost: 2,
      parallelism: 1,
    });
  });

  test('are right in either Unicode form, and wrong otherwise', async () => {
    const passwords = openPasswords();
    const encoded = await passwords.hash('caf\u00e9 au lait');
    expect(await passwords.verify(encoded, 'cafe\u0301 au lait')).toBe('right');
    expect(await passwords.verify(encoded, 'cafe au lait')).toBe('wrong');
    expect(await passwords.verify(encoded, '')).toBe('wrong');
    expect(await passwords.verify(encoded, 'x'.repeat(100_000))).toBe('wrong');
  });

  test('security 34: somebody unknown costs a hash with the same parameters', async () => {
    const passwords = openPasswords();
    // CPU time, not time on the clock: other work on the machine does not count.
    const cost = async (encoded: string | undefined) => {
      const before = process.cpuUsage();
      for (let round = 0; round < 6; round += 1) await passwords.verify(encoded, 'some guess');
      return process.cpuUsage(before).user;
    };
    const encoded = await rawHash('another one');
    await cost(encoded);
    // An early answer would cost a hundredth.
    expect((await cost(undefined)) / (await cost(encoded))).toBeGreaterThan(0.3);
    expect(await passwords.verify(undefined, '')).toBe('wrong');
  });

  test('more checks than may wait are turned away, and room comes back', async () => {
    const passwords = openPasswords();
    const verdicts = await Promise.all(
      Array.from({ length: 40 }, () => passwords.verify(undefined, 'guess guess')),
    );
    expect(verdicts.filter((verdict) => verdict === 'busy')).toHaveLength(8);
    expect(await passwords.verify(undefined, 'guess guess')).toBe('wrong');
  });

  test('have at least 8 and at most 256 bytes', () => {
    expect(passwordProblem('1234567')).toBeDefined();
    expect(passwordProblem('12345678')).toBeUndefined();
    expect(passwordProblem('é'.repeat(128))).toBeUndefined();
    expect(passwordProblem('é'.repeat(129))).toBeDefined();
  });

  test('made with weaker parameters are outdated, today’s are not', async () => {
    expect(isOutdated(await rawHash('x', { memoryCost: 4_096, timeCost: 3 }))).toBe(true);
    expect(isOutdated(await openPasswords().hash('correct horse'))).toBe(false);
  });
});
