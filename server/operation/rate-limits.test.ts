import { describe, expect, test } from 'vitest';
import { heapBytes } from '#server/testing/heap.ts';
import { createRateLimits } from './rate-limits.ts';

function limitsAt() {
  const clock = { nowMs: 1000 };
  return { clock, limits: createRateLimits(() => clock.nowMs) };
}

describe('R21: requests per address and per client', () => {
  test('a burst passes, then 429 with standard headers, then the steady rate', () => {
    const { clock, limits } = limitsAt();
    for (let i = 0; i < 2000; i += 1) expect(limits.take('token', '192.0.2.1')).toBeUndefined();
    const limited = limits.take('token', '192.0.2.1');
    expect(limited).toEqual({
      retryAfterSeconds: 1,
      headers: {
        'retry-after': '1',
        'ratelimit-policy': '"token-address";q=2000;w=10',
        ratelimit: '"token-address";r=0;t=1',
      },
    });
    clock.nowMs += 1000;
    let passed = 0;
    for (let i = 0; i < 300; i += 1) {
      if (limits.take('token', '192.0.2.1') === undefined) passed += 1;
    }
    expect(passed).toBe(200);
  });

  test('what was refused is not counted: waiting as told is enough', () => {
    const { clock, limits } = limitsAt();
    for (let i = 0; i < 20; i += 1) limits.take('register', '192.0.2.1');
    for (let i = 0; i < 100; i += 1) limits.take('register', '192.0.2.1');
    const limited = limits.take('register', '192.0.2.1');
    expect(limited?.retryAfterSeconds).toBe(10);
    clock.nowMs += 10_000;
    expect(limits.take('register', '192.0.2.1')).toBeUndefined();
  });

  test('other addresses, endpoints and clients are not touched', () => {
    const { limits } = limitsAt();
    for (let i = 0; i < 150; i += 1) limits.take('device', '192.0.2.1', 'app');
    expect(limits.take('device', '192.0.2.1', 'app')).toBeDefined();
    expect(limits.take('device', '192.0.2.2', 'app')).toBeUndefined();
    expect(limits.take('token', '192.0.2.1', 'app')).toBeUndefined();
  });

  test('IPv6 addresses of one /64 share a limit', () => {
    const { limits } = limitsAt();
    for (let i = 0; i < 100; i += 1) limits.take('device', `2001:db8:0:7::${i.toString(16)}`);
    expect(limits.take('device', '2001:db8:0:7:1:2:3:4')).toBeDefined();
    expect(limits.take('device', '2001:db8:0:8::1')).toBeUndefined();
    expect(limits.take('device', '::1')).toBeUndefined();
  });

  test('memory is bounded: the least recently used are forgotten', () => {
    const { limits } = limitsAt();
    for (let i = 0; i < 20; i += 1) limits.take('register', '192.0.2.1');
    for (let i = 0; i < 100_000; i += 1) limits.take('register', `key-${i}`);
    expect(limits.take('register', '192.0.2.1')).toBeUndefined();
  });

  test('what is remembered of a client keeps nothing of the body that named it', () => {
    const { limits } = limitsAt();
    const before = heapBytes();
    for (let i = 0; i < 1000; i += 1) {
      const body = Buffer.from(`client_id=a-client-called-${i}&${'x'.repeat(60_000)}`).toString();
      limits.take('introspect', '192.0.2.1', body.slice(10, body.indexOf('&')));
    }
    expect(heapBytes() - before).toBeLessThan(5_000_000);
    expect(limits.take('introspect', '192.0.2.1', 'app')).toBeUndefined();
  });
});

describe('security 35: online guessing', () => {
  type Limits = ReturnType<typeof limitsAt>['limits'];
  const isLetThrough = (limits: Limits, address: string, clientId: string) =>
    'takeBack' in limits.guess(address, clientId);

  test('a hundred wrong secrets for a client from one address, then one every six seconds', () => {
    const { clock, limits } = limitsAt();
    for (let i = 0; i < 100; i += 1) expect(isLetThrough(limits, '192.0.2.1', 'app')).toBe(true);
    expect(limits.guess('192.0.2.1', 'app')).toMatchObject({ retryAfterSeconds: 6 });
    clock.nowMs += 6000;
    expect(isLetThrough(limits, '192.0.2.1', 'app')).toBe(true);
    expect(isLetThrough(limits, '192.0.2.1', 'app')).toBe(false);
  });

  test('guesses made side by side all count, before any of them is judged', () => {
    const { limits } = limitsAt();
    const guesses = Array.from({ length: 500 }, () => limits.guess('192.0.2.1', 'app'));
    expect(guesses.filter((guess) => 'takeBack' in guess)).toHaveLength(100);
  });

  test('the victim, from elsewhere, is not locked out; nor is another client from there', () => {
    const { limits } = limitsAt();
    for (let i = 0; i < 150; i += 1) limits.guess('192.0.2.1', 'app');
    expect(isLetThrough(limits, '192.0.2.1', 'app')).toBe(false);
    expect(isLetThrough(limits, '192.0.2.9', 'app')).toBe(true);
    expect(isLetThrough(limits, '192.0.2.1', 'other')).toBe(true);
  });

  test('one address that tries many clients is slowed down too', () => {
    const { limits } = limitsAt();
    for (let i = 0; i < 300; i += 1) limits.guess('192.0.2.1', `app-${i}`);
    expect(isLetThrough(limits, '192.0.2.1', 'never-tried')).toBe(false);
    expect(isLetThrough(limits, '192.0.2.2', 'never-tried')).toBe(true);
  });

  test('right secrets cost nothing, and push nobody out who guesses', () => {
    const { limits } = limitsAt();
    for (let i = 0; i < 100; i += 1) limits.guess('192.0.2.1', 'app');
    for (let i = 0; i < 100_000; i += 1) {
      const guess = limits.guess(`2001:db8:${(i >> 8).toString(16)}:${i % 256}::1`, 'app');
      if (!('takeBack' in guess)) throw new Error(`refused at ${i}`);
      guess.takeBack();
    }
    expect(isLetThrough(limits, '192.0.2.1', 'app')).toBe(false);
  });
});
