import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyPatch, patchedMembers, patchOperationsMax } from './json-patch.ts';
import { isRefusal } from './refusal.ts';

describe('RFC 6902 appendix A', () => {
  test.each<[string, object, unknown[], object]>([
    [
      'A.1 add a member',
      { foo: 'bar' },
      [{ op: 'add', path: '/baz', value: 'qux' }],
      { baz: 'qux', foo: 'bar' },
    ],
    [
      'A.2 add an element',
      { foo: ['bar', 'baz'] },
      [{ op: 'add', path: '/foo/1', value: 'qux' }],
      { foo: ['bar', 'qux', 'baz'] },
    ],
    [
      'A.3 remove a member',
      { baz: 'qux', foo: 'bar' },
      [{ op: 'remove', path: '/baz' }],
      { foo: 'bar' },
    ],
    [
      'A.4 remove an element',
      { foo: ['bar', 'qux', 'baz'] },
      [{ op: 'remove', path: '/foo/1' }],
      { foo: ['bar', 'baz'] },
    ],
    [
      'A.5 replace',
      { baz: 'qux' },
      [{ op: 'replace', path: '/baz', value: 'boo' }],
      { baz: 'boo' },
    ],
    [
      'A.6 move',
      { foo: { bar: 'baz', waldo: 'fred' }, qux: {} },
      [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
      { foo: { bar: 'baz' }, qux: { thud: 'fred' } },
    ],
    [
      'A.7 move an element',
      { foo: ['all', 'grass', 'cows', 'eat'] },
      [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
      { foo: ['all', 'cows', 'eat', 'grass'] },
    ],
    [
      'A.8 test',
      { baz: 'qux', foo: ['a', 2, 'c'] },
      [
        { op: 'test', path: '/baz', value: 'qux' },
        { op: 'test', path: '/foo/1', value: 2 },
      ],
      { baz: 'qux', foo: ['a', 2, 'c'] },
    ],
    [
      'A.10 add a nested member',
      { foo: 'bar' },
      [{ op: 'add', path: '/child', value: { grandchild: {} } }],
      { foo: 'bar', child: { grandchild: {} } },
    ],
    [
      'A.11 unknown members',
      { foo: 'bar' },
      [{ op: 'add', path: '/baz', value: 'qux', xyz: 123 }],
      { foo: 'bar', baz: 'qux' },
    ],
    [
      'A.14 escapes',
      { '/': 9, '~1': 10 },
      [
        { op: 'test', path: '/~01', value: 10 },
        { op: 'replace', path: '/~1', value: 8 },
      ],
      { '/': 8, '~1': 10 },
    ],
    [
      'A.16 add to the end',
      { foo: ['bar'] },
      [{ op: 'add', path: '/foo/-', value: ['abc'] }],
      { foo: ['bar', ['abc']] },
    ],
    [
      'copy',
      { a: { b: 1 } },
      [
        { op: 'copy', from: '/a', path: '/c' },
        { op: 'add', path: '/c/d', value: 2 },
      ],
      { a: { b: 1 }, c: { b: 1, d: 2 } },
    ],
    [
      'replace in a list',
      { a: [1, 2, 3] },
      [{ op: 'replace', path: '/a/1', value: 9 }],
      { a: [1, 9, 3] },
    ],
    ['replace the whole', { a: 1 }, [{ op: 'replace', path: '', value: { b: 2 } }], { b: 2 }],
    [
      'test ignores order',
      { a: { x: 1, y: [null] } },
      [{ op: 'test', path: '/a', value: { y: [null], x: 1 } }],
      { a: { x: 1, y: [null] } },
    ],
  ])('%s', (_name, document, patch, expected) => {
    const before = structuredClone(document);
    expect(applyPatch({ ...document }, patch)).toEqual(expected);
    expect(document).toEqual(before);
  });

  test.each<[string, object, unknown]>([
    ['A.9 a test that fails', { baz: 'qux' }, [{ op: 'test', path: '/baz', value: 'bar' }]],
    [
      'A.12 a parent that is not there',
      { foo: 'bar' },
      [{ op: 'add', path: '/baz/bat', value: 'qux' }],
    ],
    ['A.15 strings and numbers differ', { '/': 9 }, [{ op: 'test', path: '/~1', value: '9' }]],
    ['no list', {}, { op: 'add', path: '/a', value: 1 }],
    ['no object', {}, [1]],
    ['no op', {}, [{ path: '/a', value: 1 }]],
    ['no value', {}, [{ op: 'add', path: '/a' }]],
    ['no path', {}, [{ op: 'add', value: 1 }]],
    ['a path without slash', {}, [{ op: 'add', path: 'a', value: 1 }]],
    ['a wrong escape', {}, [{ op: 'add', path: '/~2', value: 1 }]],
    ['an index with a zero in front', { a: [1, 2] }, [{ op: 'remove', path: '/a/01' }]],
    ['an index past the end', { a: [1] }, [{ op: 'add', path: '/a/2', value: 1 }]],
    ['- where nothing is', { a: [1] }, [{ op: 'remove', path: '/a/-' }]],
    ['a member that is not there', {}, [{ op: 'replace', path: '/a', value: 1 }]],
    ['an inherited member', {}, [{ op: 'remove', path: '/toString' }]],
    ['a move into itself', { a: { b: {} } }, [{ op: 'move', from: '/a', path: '/a/b' }]],
    ['a from that is not there', {}, [{ op: 'copy', from: '/a', path: '/b' }]],
    ['no object left', { a: 1 }, [{ op: 'replace', path: '', value: [1] }]],
    ['too many', {}, Array(patchOperationsMax + 1).fill({ op: 'add', path: '/a', value: 1 })],
  ])('%s is refused', (_name, document, patch) => {
    expect(applyPatch({ ...document }, patch)).toMatchObject({ refused: 'malformed_request' });
  });
});

test('__proto__ is a name like any other', () => {
  const patch = JSON.parse('[{"op":"add","path":"/__proto__","value":{"polluted":true}}]');
  const result = applyPatch({ a: 1 }, patch);
  expect(isRefusal(result)).toBe(false);
  expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
});

test('a patch that doubles the document is stopped', () => {
  const patch = Array.from({ length: 60 }, (_, n) => ({ op: 'copy', from: '', path: `/c${n}` }));
  expect(applyPatch({ a: 'x'.repeat(100) }, patch)).toMatchObject({ refused: 'malformed_request' });
});

describe('security 52: a patch costs as much as it is long', () => {
  const list = (length: number) => Array.from({ length }, () => ({}));

  test('a hundred operations on a large document take less than 100 ms', () => {
    const patch = [
      { op: 'add', path: '/metadata', value: list(80_000) },
      ...Array(patchOperationsMax - 1).fill({ op: 'add', path: '/owner', value: 'a' }),
    ];
    expect(applyPatch({}, patch)).toHaveProperty('owner', 'a');
    const tries = Array.from({ length: 3 }, () => {
      const before = process.cpuUsage();
      applyPatch({}, patch);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    });
    expect(Math.min(...tries)).toBeLessThan(100);
  });

  test('what is copied counts, though it is removed again', () => {
    const again = [
      { op: 'copy', from: '/metadata', path: '/copy' },
      { op: 'remove', path: '/copy' },
    ];
    const document = { metadata: list(30_000) };
    expect(isRefusal(applyPatch(document, again))).toBe(false);
    const refused = { refused: 'malformed_request' };
    expect(applyPatch(document, [...again, ...again])).toMatchObject(refused);
    // Moving makes nothing.
    const there = { op: 'move', from: '/metadata', path: '/b' };
    const back = { op: 'move', from: '/b', path: '/metadata' };
    const moves = Array.from({ length: 50 }, () => [there, back]).flat();
    expect(applyPatch(document, moves)).toEqual(document);
  });
});

test('a deep patch is refused before it is walked', () => {
  let value: unknown = 1;
  for (let depth = 0; depth < 100_000; depth += 1) value = [value];
  const patch = [{ op: 'add', path: '/a', value }];
  expect(applyPatch({}, patch)).toMatchObject({ refused: 'malformed_request' });
});

test('the members that a patch writes are known before', () => {
  const patch = [
    { op: 'add', path: '/a/0', value: 1 },
    { op: 'move', from: '/b', path: '/c' },
    { op: 'copy', from: '/d', path: '/e' },
    { op: 'test', path: '/f', value: 1 },
  ];
  expect(patchedMembers(patch)).toEqual(['a', 'c', 'b', 'e']);
});

test('no patch makes it throw', () => {
  const pointer = fc.constantFrom('', '/', '/a', '/a/0', '/a/-', '/b', '/b/c', '/__proto__', 'x');
  const operation = fc.record(
    {
      op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'other'),
      path: pointer,
      from: pointer,
      value: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(operation, fc.jsonValue())), (patch) => {
      applyPatch({ a: [1, { b: 2 }], b: { c: [] } }, patch);
      patchedMembers(patch);
    }),
    { numRuns: 1000 },
  );
});
