import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { randomKeyMaterial } from './material.ts';
import { createKeyring } from './ring.ts';
import { createSealer } from './seal.ts';
import { createSecretVerifier, hashSecret, newClientSecret, type SecretHash } from './secret.ts';

const samples = 20_000;
/** Above this the means of two classes are told apart for certain (dudect: 10). */
const tMax = 10;

/**
 * Welch's t of two classes of work, taken in random order so that whatever else the machine does
 * meets both alike. The slower half of each class, interrupts and garbage, is left out: of each,
 * since of both together it would be the whole of a class that is clearly slower.
 */
function welch(first: () => unknown, second: () => unknown): { t: number; apart: number } {
  const times: readonly [number[], number[]] = [[], []];
  for (let n = 0; n < samples; n += 1) {
    const isSecond = randomInt(2) === 1;
    const work = isSecond ? second : first;
    const before = process.hrtime.bigint();
    work();
    times[isSecond ? 1 : 0].push(Number(process.hrtime.bigint() - before));
  }
  const [a, b] = times.map((list) => summary(list.sort((x, y) => x - y).slice(0, list.length / 2)));
  if (a === undefined || b === undefined) throw new Error('two classes were measured');
  // So far apart that the faster half is of one class: without this no number, where it is largest.
  if (a.count < 2 || b.count < 2) return { t: Infinity, apart: Infinity };
  const t = (a.mean - b.mean) / Math.sqrt(a.variance / a.count + b.variance / b.count);
  return { t: Math.abs(t), apart: Math.abs(a.mean - b.mean) / Math.min(a.mean, b.mean) };
}

function summary(list: readonly number[]) {
  const count = list.length;
  const mean = list.reduce((sum, ns) => sum + ns, 0) / count;
  const variance = list.reduce((sum, ns) => sum + (ns - mean) ** 2, 0) / (count - 1);
  return { count, mean, variance };
}

const ring = createKeyring(randomKeyMaterial('https://op.example', 0), 0, createSealer());
const slow = { hash: async () => Buffer.alloc(0), verify: async () => false };
const verifier = createSecretVerifier(slow);
const secret = newClientSecret();
const hash = await hashSecret(ring, 'app', secret, slow);
const wrongFirst = `X${secret.slice(1)}`;
const wrongLast = `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`;
const check = (client: string, hashes: readonly SecretHash[], given: string) => () =>
  verifier.verify(ring, client, hashes, given);

function threeTimes(first: () => unknown, second: () => unknown) {
  return [welch(first, second), welch(first, second), welch(first, second)];
}

/** The least of three measurements: what is really there is there each time. */
function least(first: () => unknown, second: () => unknown) {
  return threeTimes(first, second).reduce((best, one) => (one.t < best.t ? one : best));
}

test('security 34: a wrong first and a wrong last character take the same time', () => {
  const { t } = least(check('app', [hash], wrongFirst), check('app', [hash], wrongLast));
  expect(t).toBeLessThan(tMax);
});

test('security 34: an unknown client takes as long as a wrong secret', () => {
  const { apart } = least(check('app', [hash], wrongFirst), check('ppa', [], wrongFirst));
  // Far below what a network lets through: a check takes some microseconds.
  expect(apart).toBeLessThan(0.15);
});

test('the measurement tells a comparison apart that stops at the first difference', () => {
  // Long enough that a clock of 50 ns sees it beside busy neighbours.
  const stored = secret.repeat(50);
  const leaky = (given: string) => () => {
    for (let at = 0; at < stored.length; at += 1) if (stored[at] !== given[at]) return false;
    return true;
  };
  const seen = threeTimes(leaky(`X${stored.slice(1)}`), leaky(`${stored.slice(0, -1)}!`));
  expect(Math.max(...seen.map(({ t }) => t))).toBeGreaterThan(tMax);
});
