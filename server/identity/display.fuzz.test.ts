import { testShown } from '#server/testing/hostile.ts';
import { destinationOf, harmless, hostOf, initialOf, linkable } from './display.ts';
import { networkOf } from './throttle.ts';
import { loginKeyOf } from './user.ts';

testShown([
  ['a name on a page', (text) => harmless(text)],
  ['an initial', initialOf],
  ['a link', linkable],
  ['a host', hostOf],
  ['a destination', destinationOf],
  ['a login', loginKeyOf],
  ['a network', networkOf],
]);
