import fc from 'fast-check';
import { describe, test } from 'vitest';
import { expectLinear, hostileText } from '#server/testing/hostile.ts';
import { destinationOf, harmless, hostOf, initialOf, linkable } from './display.ts';
import { networkOf } from './throttle.ts';
import { loginKeyOf } from './user.ts';

const shown: readonly (readonly [string, (text: string) => unknown])[] = [
  ['a name on a page', (text) => harmless(text)],
  ['an initial', initialOf],
  ['a link', linkable],
  ['a host', hostOf],
  ['a destination', destinationOf],
  ['a login', loginKeyOf],
  ['a network', networkOf],
];

describe.each(shown)('%s', (_, show) => {
  test('takes any text', () => {
    const known = [
      'Bearer gh_at_abc',
      'postgres://u:p@h/d',
      'ana@example.com',
      'https://a.example',
    ];
    fc.assert(
      fc.property(hostileText(...known), (text) => {
        show(text);
      }),
      { numRuns: 700 },
    );
  });

  test('costs linear time', () => expectLinear(show));
});
