import { expect, test } from 'vitest';
import { completed, missingFrom } from './lock-file.ts';

const lock = {
  packages: {
    '': {},
    'node_modules/tool': {
      version: '1.0.0',
      dev: true,
      optionalDependencies: {
        'tool-linux-x64-gnu': '1.0.0',
        'tool-linux-arm64-musl': '1.0.0',
        'tool-darwin-arm64': '1.0.0',
      },
    },
    'node_modules/tool-linux-x64-gnu': { version: '1.0.0', dev: true, optional: true },
    'node_modules/outer/node_modules/inner': {
      version: '2.0.0',
      optionalDependencies: { 'tool-linux-x64-gnu': '1.0.0' },
    },
  },
};

test('what another platform needs is missing, what lies further out is not', () => {
  expect(missingFrom(lock).map(({ name }) => name)).toEqual([
    'tool-linux-arm64-musl',
    'tool-darwin-arm64',
  ]);
});

test('a completed lock file has them for their platforms only, and misses nothing', () => {
  const { packages } = completed(lock);
  expect(packages['node_modules/tool-linux-arm64-musl']).toEqual({
    version: '1.0.0',
    cpu: ['arm64'],
    dev: true,
    libc: ['musl'],
    optional: true,
    os: ['linux'],
  });
  expect(packages['node_modules/tool-darwin-arm64']).toMatchObject({ os: ['darwin'] });
  expect(missingFrom({ packages })).toEqual([]);
});

test('a version that is not exact cannot be completed', () => {
  const ranged = {
    packages: { 'node_modules/a': { optionalDependencies: { 'a-linux-x64': '^1.0.0' } } },
  };
  expect(() => completed(ranged)).toThrow('a-linux-x64@^1.0.0 is no exact version');
});
