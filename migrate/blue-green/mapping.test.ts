import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadMapping, type MappingFile, parseMapping } from './mapping.ts';

const good: MappingFile = {
  name: 'shop',
  forward: {
    tables: [
      {
        target: 'person',
        key: ['id'],
        select: 'select c.id, c.name from customer c',
        sources: [{ table: 'customer', columns: ['id'] }],
      },
    ],
  },
};

const withTable = (change: Readonly<Record<string, unknown>>) => ({
  ...good,
  forward: { tables: [{ ...good.forward.tables[0], ...change }] },
});

describe('a mapping says what is wrong with it, where, and what to do', () => {
  it('a good one is taken, with its defaults', () => {
    const mapping = parseMapping(good, 'shop.json');
    expect(mapping.forward.tables[0]?.rangeRows).toBe(20_000);
    expect(mapping.reverse).toBeUndefined();
  });

  it.each<[string, unknown, RegExp]>([
    ['no name', { ...good, name: '' }, /shop.json: name: use lower case/],
    ['an unknown field', { ...good, forwards: 1 }, /shop.json: the mapping: .*forwards/],
    ['no key', withTable({ key: [] }), /forward\.tables\[0\]\.key: name at least one column/],
    ['a column twice', withTable({ key: ['id', 'id'] }), /\.key: name each column once/],
    ['a quoted table', withTable({ target: 'a.b.c' }), /\.target: write a table as "name"/],
    ['a semicolon', withTable({ select: 'select 1;' }), /\.select: leave the semicolon out/],
    ['a statement', withTable({ select: 'delete from x' }), /\.select: begin with "select"/],
    ['no sources', withTable({ sources: [] }), /\.sources: name every table/],
    [
      'columns that are not the key',
      withTable({ sources: [{ table: 'customer', columns: ['id', 'name'] }] }),
      /sources\[0\]: 2 columns cannot be the key \(id\); add "keys"/,
    ],
    [
      'a misspelt field of a check',
      { ...good, checks: [{ name: 'sum', on: 'blue', violation: 'select 1' }] },
      /checks\[0\]\.violations: .*\n.*checks\[0\]: .*"violation"/,
    ],
    [
      'half of a check',
      { ...good, checks: [{ name: 'sum', equal: { blue: 'select 1' } }] },
      /^shop.json: checks\[0\]\.equal\.green: [^\n]*$/,
    ],
    [
      'a table filled twice',
      {
        ...good,
        forward: {
          tables: [good.forward.tables[0], { ...good.forward.tables[0], target: 'public.person' }],
        },
      },
      /tables\[1\]\.target: public.person is filled by tables\[0\] already; join both/,
    ],
  ])('%s', (_, value, message) => {
    expect(() => parseMapping(value, 'shop.json')).toThrow(message);
  });

  it('a file that is not JSON is refused with its line', async () => {
    const path = join(tmpdir(), `mapping-${process.pid}.json`);
    await writeFile(path, '{\n  "name": "shop",\n  oops\n}');
    await expect(loadMapping(path)).rejects.toThrow(/\.json:3: this is not JSON/);
  });
});
