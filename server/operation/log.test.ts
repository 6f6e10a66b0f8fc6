import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLog, type Log, type LogLevel, type LogValue } from './log.ts';
import { redacted } from './redaction.ts';

function recorded(level: LogLevel = 'debug', pretty = false): { log: Log; text: () => string } {
  const lines: string[] = [];
  const log = createLog({ level, pretty, write: (line) => lines.push(line) });
  return { log, text: () => lines.join('') };
}

const base64url = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.split('');
const drawn = (minLength: number) =>
  fc.string({ unit: fc.constantFrom(...base64url), minLength, maxLength: 90 });
// fast-check likes to draw words like `property`, which the stack below the error holds by itself.
const opaque = (minLength: number) =>
  drawn(minLength).filter((text) => /[0-9]/.test(text) && /[A-Za-z]/.test(text));
// A run of letters of one case is a word to every reader, human or not; random ones are never that.
const random = drawn(22).filter(
  (text) => /[0-9]/.test(text) || /[a-z].*[A-Z]|[A-Z].*[a-z]/.test(text),
);
const secret = fc.oneof(
  fc.tuple(fc.constantFrom('gh_at_', 'gh_rt_', 'gh_ac_', 'gh_id_', 'gh_cs_'), opaque(8)),
  fc.tuple(fc.constant('eyJ'), opaque(8)),
  fc.tuple(fc.constantFrom('Bearer ', 'bearer ', 'Basic ', 'DPoP '), opaque(8)),
  fc.tuple(fc.constant('/c/'), opaque(8)),
  fc.tuple(fc.constantFrom('?code=', '?x=1&state=', '#access_token='), opaque(8)),
  fc.tuple(
    fc.constantFrom('postgres://role:', 'https://id:'),
    opaque(8).map((s) => `${s}@host/db`),
  ),
  fc.tuple(fc.constantFrom('client_secret=', 'password: ', '"refresh_token":"'), opaque(8)),
  fc.tuple(fc.constant(''), random),
);
const around = fc.constantFrom('', ' ', 'value ', '(', '"', ', ', '\n    at ', 'é', 'x');

describe('security 53: a secret never stands in a log line', () => {
  test('whatever field, event, child, error or cause it comes in', () => {
    fc.assert(
      fc.property(
        around,
        secret,
        around,
        fc.boolean(),
        (before, [prefix, value], after, pretty) => {
          const { log, text } = recorded('debug', pretty);
          const carrier = `${before}${prefix}${value}${after}`;
          const bare = value.replace('@host/db', '');
          log.info('event', { field: carrier });
          log.warn(carrier, { [carrier]: carrier });
          log.child({ bound: carrier }).debug('event');
          log.error('event', {}, new Error(carrier, { cause: new TypeError(carrier) }));
          log.error('event', {}, carrier);
          log.error('event', {}, { message: carrier });
          expect(text()).not.toContain(bare);
        },
      ),
      { numRuns: 500 },
    );
  });

  test.each([
    'token',
    'refresh_token',
    'clientSecret',
    'password',
    'cookie',
    'code',
    'codeVerifier',
  ])('a field named %s is masked whole, however short its value', (name) => {
    const { log, text } = recorded();
    log.info('event', { [name]: 'abc' });
    expect(text()).toContain('[redacted]');
    expect(text()).not.toContain('abc');
  });

  test('a structure that slips through the types is not written', () => {
    const { log, text } = recorded();
    const smuggled: Record<string, unknown> = { request: { body: 'abc' } };
    log.info('event', smuggled as Record<string, LogValue>);
    expect(text()).toContain('[not a plain value]');
    expect(text()).not.toContain('abc');
  });

  test.each([
    ['JSON.parse', () => JSON.parse('hunter2')],
    [
      'PostgreSQL',
      () => {
        throw Object.assign(new Error('invalid input syntax for type uuid: "hunter2"'), {
          code: '22P02',
        });
      },
    ],
  ])('the value that an error of %s quotes is masked', (_, fail) => {
    const { log, text } = recorded();
    try {
      fail();
    } catch (error) {
      log.error('event', {}, error);
    }
    expect(text()).toContain('[redacted]');
    expect(text()).not.toContain('hunter2');
  });
});

describe('what a reader needs stays', () => {
  test.each([
    'c0a80101-0000-4000-8000-000000000001',
    'request_failed',
    '/admin/oauth2/auth/requests/login/accept',
    'code_challenge_methods_supported',
    'https://app.example/callback',
    '2001:db8::17',
  ])('%s', (text) => {
    expect(redacted(text)).toBe(text);
  });

  test('an error has its name, code, message, frames and causes', () => {
    const { log, text } = recorded();
    const cause = Object.assign(new Error('connect refused'), { code: 'ECONNREFUSED' });
    log.error('request_failed', { requestId: 'r' }, new TypeError('no answer', { cause }));
    const line: unknown = JSON.parse(text());
    expect(line).toMatchObject({
      level: 'error',
      event: 'request_failed',
      requestId: 'r',
      error: 'TypeError',
      message: 'no answer',
      stack: expect.stringContaining('log.test.ts'),
      causes: 'Error ECONNREFUSED: connect refused',
    });
  });

  test('levels below the setting are not written', () => {
    const { log, text } = recorded('warn');
    log.info('quiet');
    log.request({
      requestId: 'r',
      route: '/x',
      method: 'GET',
      status: 200,
      seconds: 1,
      address: '::1',
    });
    log.warn('loud');
    expect(text()).not.toContain('quiet');
    expect(text()).not.toContain('request');
    expect(text()).toContain('loud');
  });

  test('the access line is JSON with the route pattern', () => {
    const { log, text } = recorded();
    const line = {
      requestId: 'r',
      route: '/clients/:id',
      method: 'GET',
      status: 200,
      address: '::1',
    };
    log.request({ ...line, seconds: 0.0012 });
    expect(JSON.parse(text())).toMatchObject({ ...line, ms: 1.2, event: 'request', level: 'info' });
  });

  test('line breaks cannot forge a line', () => {
    for (const pretty of [false, true]) {
      const { log, text } = recorded('debug', pretty);
      log.info('event', { field: 'a\n00:00:00 error forged' });
      expect(text().trimEnd().split('\n')).toHaveLength(1);
    }
  });

  test('redaction takes linear time on hostile text', () => {
    for (const unit of ['#', '?', 'gh_a', 'eyJ', '://', 'basic ', 'code=', 'A1', '/c/']) {
      expect(redacted(unit.repeat(100_000)).length).toBeLessThan(700);
    }
  });
});
