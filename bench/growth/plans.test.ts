import { expect, test } from 'vitest';
import { executedIn } from './plans.ts';

const entry = (database: string, plan: object) =>
  `%${database} gatehouse-pool% LOG:  duration: 0.1 ms  plan:\n` +
  `\t${JSON.stringify({ 'Query Text': 'select 1', Plan: plan }, null, 1).replaceAll('\n', '\n\t')}\n`;

test('plans are found between other lines, with pages, probes and scans', () => {
  const log =
    `%[unknown] % LOG:  ready\n` +
    entry('one', {
      'Node Type': 'Nested Loop',
      'Shared Hit Blocks': 7,
      'Shared Read Blocks': 2,
      Plans: [
        {
          'Node Type': 'Index Scan',
          'Index Name': 'chain_pkey',
          'Actual Rows': 1,
          'Actual Loops': 4,
        },
        { 'Node Type': 'Seq Scan', 'Relation Name': 'grant', 'Actual Rows': 3, 'Actual Loops': 1 },
        { 'Node Type': 'Seq Scan', 'Relation Name': 'chain', 'Actual Rows': 0, 'Actual Loops': 0 },
      ],
    }) +
    `%two seed% ERROR:  no\n` +
    entry('two', { 'Node Type': 'Result' });
  expect(executedIn(log)).toMatchObject([
    {
      database: 'one',
      application: 'gatehouse-pool',
      buffers: 9,
      probes: 4,
      scans: [{ table: 'grant', how: 'Seq Scan', rows: 3 }],
    },
    { database: 'two', buffers: 0, probes: 0, scans: [] },
  ]);
});

test('an index that is read from end to end is a scan; a few rows at its edge are none', () => {
  const walk = (rows: number) => ({
    'Node Type': 'Index Scan',
    'Relation Name': 'grant',
    'Actual Rows': rows,
    'Rows Removed by Filter': 0,
    'Actual Loops': 1,
  });
  const [whole, edge] = executedIn(entry('one', walk(5000)) + entry('one', walk(1)));
  expect(whole?.scans).toEqual([{ table: 'grant', how: 'whole index', rows: 5000 }]);
  expect(edge?.scans).toEqual([]);
});
