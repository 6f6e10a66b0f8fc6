import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  matchRedirectUri,
  redirectHost,
  redirectUriCharsMax,
  redirectUriFault,
} from './redirect-uri.ts';

const registered = 'https://app.example/cb';

describe('security 1, 2, 4: a redirect URI matches byte for byte', () => {
  test.each([
    'https://app.example/cb/',
    'https://app.example/cb2',
    'https://app.example/c',
    'https://app.example/',
    'https://app.example',
    'https://app.example/cb?x=1',
    'https://app.example/cb#x',
    'https://app.example.evil.example/cb',
    'https://evil.example/app.example/cb',
    'https://evilapp.example/cb',
    'https://sub.app.example/cb',
    'https://app.example:443/cb',
    'https://app.example/x/..%2fcb',
    'https://app.example/x/%2e%2e/cb',
    'https://app.example/x/%252e%252e/cb',
    'https://app.example/..;/cb',
    'https://app.example//cb',
    'https://app.example/%63b',
    'https://APP.example/cb',
    'HTTPS://app.example/cb',
    'https://app.example/CB',
    'http://app.example/cb',
    'https://app.example\\@evil.example/cb',
    'https://app.example@evil.example/cb',
    ' https://app.example/cb',
    'https://app.example/cb\n',
    '',
  ])('%j is not %j', (given) => {
    expect(matchRedirectUri([registered], given)).toBe(false);
  });

  test('the same bytes match, one of several too', () => {
    expect(matchRedirectUri([registered], registered)).toBe(true);
    expect(matchRedirectUri(['com.example.app:/cb', registered], registered)).toBe(true);
    expect(matchRedirectUri([], registered)).toBe(false);
  });

  test('a registered wildcard is no pattern', () => {
    expect(matchRedirectUri(['https://*.example/cb'], registered)).toBe(false);
  });
});

describe('security 5: RFC 8252 §7.3 lets only the port of a loopback literal vary', () => {
  test.each([
    ['http://127.0.0.1:9999/cb', 'http://127.0.0.1:9999/cb', true],
    ['http://127.0.0.1:9999/cb', 'http://127.0.0.1:1/cb', true],
    ['http://127.0.0.1:9999/cb', 'http://127.0.0.1/cb', true],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:65535/cb', true],
    ['http://127.0.0.1/cb?a=1', 'http://127.0.0.1:8080/cb?a=1', true],
    ['http://[::1]/cb', 'http://[::1]:8080/cb', true],
    ['http://127.0.0.1', 'http://127.0.0.1:8080', true],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:65536/cb', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:0/cb', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:080/cb', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:/cb', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:8080/other', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:8080/cb/', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:8080/cb?a=1', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:8080/cb#x', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.2:8080/cb', false],
    ['http://127.0.0.1/cb', 'http://[::1]:8080/cb', false],
    ['http://127.0.0.1/cb', 'http://localhost:8080/cb', false],
    ['http://127.0.0.1/cb', 'https://127.0.0.1:8080/cb', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:80@evil.example/cb', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1.evil.example/cb', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1@evil.example/cb', false],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:8080.evil.example/cb', false],
    ['http://localhost:3000/cb', 'http://localhost:3000/cb', true],
    ['http://localhost:3000/cb', 'http://localhost:3001/cb', false],
    ['https://127.0.0.1:3000/cb', 'https://127.0.0.1:3001/cb', false],
  ])('%s registered, %s given: %j', (uri, given, matches) => {
    expect(matchRedirectUri([uri], given)).toBe(matches);
  });
});

describe('security 3, 4, 6: what may be registered', () => {
  test.each([
    'https://app.example/cb',
    'https://app.example',
    'https://app.example:8443/cb?tenant=a%20b',
    'https://[2001:db8::1]/cb',
    'https://xn--bcher-kva.example/cb',
    'http://127.0.0.1:9999/cb',
    'http://[::1]:9999/cb',
    'http://localhost:3000/cb',
    'com.example.app:/cb',
    'com.example.app://cb',
  ])('%j is good', (uri) => {
    expect(redirectUriFault(uri)).toBeUndefined();
  });

  test.each([
    ['', 'empty'],
    ['/cb', 'not absolute'],
    ['//app.example/cb', 'not absolute'],
    ['app.example/cb', 'not absolute'],
    ['https://', 'host'],
    ['https:///cb', 'host'],
    ['https:app.example/cb', 'host'],
    ['http://app.example/cb', 'https'],
    ['http://127.0.0.2/cb', 'https'],
    ['http://localhost.evil.example/cb', 'https'],
    ['http://localhost:80@evil.example/cb', 'user information'],
    ['https://user@app.example/cb', 'user information'],
    ['https://app.example/cb#', 'fragment'],
    ['https://app.example/cb#x', 'fragment'],
    ['https://*.example/cb', 'wildcard'],
    ['https://app.example/*', 'wildcard'],
    ['https://app.example:0/cb', 'port'],
    ['https://app.example:65536/cb', 'port'],
    ['https://app.example:/cb', 'host'],
    ['https://%61pp.example/cb', 'host'],
    ['https://app.example\\cb', 'character'],
    ['https://app.example/c b', 'character'],
    ['https://app.example/cb\t', 'character'],
    ['https://app.example/\u0000', 'character'],
    ['https://app.example/\u202ecb', 'character'],
    ['https://bücher.example/cb', 'character'],
    ['https://app.example/%zz', 'character'],
    ['javascript:alert(1)', 'private-use'],
    ['JavaScript:alert(1)', 'private-use'],
    ['java\nscript:alert(1)', 'character'],
    ['data:text/html,x', 'private-use'],
    ['vbscript:x', 'private-use'],
    ['file:///etc/passwd', 'private-use'],
    ['blob:https://app.example/1', 'private-use'],
    ['about:blank', 'private-use'],
    ['ftp://app.example/cb', 'private-use'],
    ['myapp:/cb', 'private-use'],
    ['com.example.app:cb', 'path'],
    ['com.example.app://user@cb', 'user information'],
    ['urn:ietf:wg:oauth:2.0:oob', 'private-use'],
  ])('%j is refused and the sentence says why', (uri, word) => {
    expect(redirectUriFault(uri)).toContain(word);
  });

  test('length is bounded', () => {
    const long = `https://app.example/${'a'.repeat(redirectUriCharsMax)}`;
    expect(redirectUriFault(long)).toContain('longer');
    expect(matchRedirectUri([long], long)).toBe(false);
  });
});

test.each([
  ['https://App.example:8443/cb', 'app.example'],
  ['https://[2001:db8::1]:8443/cb', '[2001:db8::1]'],
  ['http://localhost:3000/cb', 'localhost'],
  ['com.example.app:/cb', undefined],
])('OIDC Core §8.1: the host of %j is %j', (uri, host) => {
  expect(redirectHost(uri)).toBe(host);
});

const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.webUrl({ withFragments: true, withQueryParameters: true }),
  fc
    .tuple(
      fc.constantFrom('http://127.0.0.1', 'https://a.example', 'javascript:', 'x.y:'),
      fc.string(),
    )
    .map((parts) => parts.join('')),
);

test('no text makes the checks throw, and what is good leads a browser where it says', () => {
  fc.assert(
    fc.property(hostile, hostile, (uri, given) => {
      matchRedirectUri([uri], given);
      if (redirectUriFault(uri) !== undefined) return;
      const url = new URL(uri);
      expect([url.username, url.password, url.hash]).toEqual(['', '', '']);
      expect(url.protocol === 'https:' || url.protocol === 'http:' || /\./.test(url.protocol)).toBe(
        true,
      );
      if (url.protocol === 'http:') {
        expect(['127.0.0.1', '[::1]', 'localhost']).toContain(url.hostname);
      }
    }),
    { numRuns: 2000 },
  );
});

test('what matches a loopback URI differs from it in the port only', () => {
  const loopback = fc.constantFrom('http://127.0.0.1/cb', 'http://[::1]:80/cb?x=1');
  fc.assert(
    fc.property(loopback, fc.string({ unit: 'grapheme-ascii' }), (uri, tail) => {
      const given = uri.replace(/(:\d+)?\/cb/, `${tail}/cb`);
      if (!matchRedirectUri([uri], given)) return;
      expect(new URL(given).hostname).toBe(new URL(uri).hostname);
      expect(new URL(given).pathname).toBe('/cb');
    }),
    { numRuns: 2000 },
  );
});
