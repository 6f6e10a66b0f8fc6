import { describe, expect, test } from 'vitest';
import { destinationOf, harmless, hostOf, initialOf, linkable } from './display.ts';

describe('security 42: what an app calls itself is made harmless', () => {
  test.each([
    ['Acme Notes', 'Acme Notes'],
    ['\u202egnp.exe\u202c', 'gnp.exe'],
    ['\u2066Acme\u2069\u200b\u200f', 'Acme'],
    ['Ac\u0000me\u0007\u001b[31m', 'Acme[31m'],
    ['  Acme \n\n\t Notes\u2028 ', 'Acme Notes'],
    ['\u3164\u115f', ''],
    ['Z\u0335\u0335\u0335\u0335\u0335', 'Z\u0335\u0335'],
    ['x'.repeat(200), `${'x'.repeat(79)}…`],
    ['\ud800Acme', 'Acme'],
    ['日本のノート', '日本のノート'],
  ])('%j is shown as %j', (name, shown) => {
    expect(harmless(name)).toBe(shown);
  });
});

test('a tile shows the first letter or digit', () => {
  expect(['acme', '"élan', '  9 lives', '?!', '日本'].map(initialOf)).toEqual([
    'A',
    'É',
    '9',
    '?',
    '日',
  ]);
});

test('security 6: only http and https without a user name are linked', () => {
  const junk = ['javascript:alert(1)', 'data:text/html,x', '//evil', 'https://u:p@evil', '', 7];
  expect(junk.map(linkable)).toEqual(junk.map(() => undefined));
  expect(linkable('https://acme.example/terms?a=1')).toBe('https://acme.example/terms?a=1');
});

test('security 42: a host in another script is shown in punycode', () => {
  expect(hostOf('https://раураl.example/')).toMatch(/^xn--/);
});

test.each([
  ['https://app.example/callback', { kind: 'host', text: 'app.example' }],
  ['https://app.example:8443/cb', { kind: 'host', text: 'app.example:8443' }],
  ['http://127.0.0.1:4460/callback', { kind: 'loopback', text: '127.0.0.1:4460' }],
  ['http://[::1]:4460/callback', { kind: 'loopback', text: '[::1]:4460' }],
  ['com.example.app:/callback', { kind: 'app', text: 'com.example.app' }],
  ['http://127.0.0.1.evil.example/', { kind: 'host', text: '127.0.0.1.evil.example' }],
  ['not a uri', undefined],
])('the redirect URI %s leads to %j', (uri, destination) => {
  expect(destinationOf(uri)).toEqual(destination);
});
