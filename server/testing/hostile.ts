import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

/** What parsers stumble over: separators, escapes, numbers, broken Unicode, beginnings of formats. */
const pieces: readonly string[] = [
  ...['', ' ', '\t', '\r\n', '\0', '\u00e9', '\ud800', '\udc00', '\u202e', '\ufeff', '𝒳'],
  ...['%', '%00', '%zz', '%ud800', '%E0%A4', '+', '&', '=', '&a=', 'a=1&a=1', ';', ';a=', ','],
  ...[
    '.',
    '..',
    '/',
    '//',
    '\\',
    '\\u0000',
    '\\ud800',
    '"',
    "'",
    '`',
    '<',
    '>',
    '#',
    '?',
    '@',
    ':',
  ],
  ...['[', ']', '{', '}', '{"a":', '[[', '*', '*.', '-', '--', '_', '~', '$', '^', '|', '(', ')'],
  ...['0', '-1', '1e999', '9007199254740993', '0x10', 'NaN', '1h', '1.5s', '18446744073709551616'],
  ...['true', 'null', '__proto__', 'constructor', 'toString', 'hasOwnProperty', '{"__proto__":'],
  ...['a', 'A', 'aa.aa', 'eyJ', 'eyJhbGciOiJub25lIn0.', 'gh_at_', 'gh_rt_', 'gh_ac_', 'ref.'],
  ...['http://', 'https://a', 'javascript:', '[::1]', '::ffff:', '127.0.0.1', '1.1.1.1, '],
  ...['Basic ', 'Bearer ', 'none', 'login', 'openid', 'S256', 'code', '--help', '--name='],
];

/** Text as an attacker writes it; whatever `valid` gives is mixed in, whole and cut. */
export function hostileText(...valid: readonly string[]): fc.Arbitrary<string> {
  const part = fc.oneof(
    fc.constantFrom(...pieces, ...valid),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom(...pieces.filter(Boolean)).map((piece) => piece.repeat(50)),
  );
  const mixed = fc.array(part, { maxLength: 12 }).map((parts) => parts.join(''));
  if (valid.length === 0) return mixed;
  const damaged = fc
    .tuple(fc.constantFrom(...valid), fc.nat(), fc.constantFrom(...pieces), fc.nat(3))
    .map(([text, at, piece, lost]) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + piece + text.slice(place + lost);
    });
  return fc.oneof(mixed, damaged, fc.constantFrom(...valid));
}

/** JSON as an attacker writes it: names of Object's own, deep nesting, odd numbers and types. */
export function hostileJson(...names: readonly string[]): fc.Arbitrary<unknown> {
  const key = fc.oneof(
    fc.constantFrom('__proto__', 'constructor', 'toString', 'keys', 'length', ...names),
    fc.string({ maxLength: 5 }),
  );
  const leaf = fc.oneof(
    fc.constantFrom<unknown>(null, true, 0, -1, 1e308, 2 ** 53, 0.1, '', [], {}),
    hostileText(),
  );
  return fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5, depthIdentifier: 'json' },
      leaf,
      fc.array(tie('value'), { maxLength: 4 }),
      // JSON.parse makes __proto__ a member of its own, as it comes over the wire.
      fc
        .array(fc.tuple(key, tie('value')), { maxLength: 6 })
        .map((members) =>
          JSON.parse(
            `{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join()}}`,
          ),
        ),
    ),
  })).value;
}

/** Texts of about `chars` characters that make a careless expression or loop run long. */
export function hostileShapes(chars: number): readonly string[] {
  const repeated = pieces
    .filter((piece) => piece !== '')
    .map((piece) => piece.repeat(Math.ceil(chars / piece.length)).slice(0, chars));
  const many = Array.from({ length: Math.ceil(chars / 8) }, (_, n) => `p${n}=1&`).join('');
  return [...repeated, ...repeated.map((text) => `${text}!`), many.slice(0, chars)];
}

/**
 * Runs `parse` on hostile shapes of `chars` and of ten times as many characters: the CPU may grow by
 * the same factor and some noise, not by its square.
 */
export function expectLinear(parse: (text: string) => unknown, chars = 6_000): void {
  const small = hostileShapes(chars);
  const large = hostileShapes(10 * chars);
  for (const [index, text] of large.entries()) {
    const shape = JSON.stringify(text.slice(0, 24));
    // Five times what is linear, and room for the clock of the CPU: a square would be a hundred.
    const bound = () => 50 * cheapest(parse, small[index] ?? '', 20) + 5;
    if (cheapest(parse, text, 3) <= 5) continue;
    // What is slow is measured again, often enough that a collection of garbage is not in each run.
    expect(cheapest(parse, text, 20), `ms of CPU for ${shape}`).toBeLessThan(bound());
  }
}

/** Milliseconds of CPU of the cheapest run. */
function cheapest(parse: (text: string) => unknown, text: string, runs: number): number {
  const costs = Array.from({ length: runs }, () => {
    const before = process.cpuUsage();
    parse(text);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.min(...costs);
}

/** What people or logs are shown: each function takes any text, in linear time. */
export function testShown(shown: readonly (readonly [string, (text: string) => unknown])[]): void {
  const known = ['Bearer gh_at_abc', 'postgres://u:p@h/d', 'ana@example.com', 'https://a.example'];
  describe.each(shown)('%s', (_, show) => {
    test('takes any text', () => {
      fc.assert(
        fc.property(hostileText(...known), (text) => {
          show(text);
        }),
        { numRuns: 700 },
      );
    });

    test('costs linear time', () => expectLinear(show));
  });
}
