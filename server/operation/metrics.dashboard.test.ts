import { readFileSync } from 'node:fs';
import { parser } from '@prometheus-io/lezer-promql';
import { expect, test } from 'vitest';
import { createMetrics, metricEvents } from '#server/operation/metrics.ts';

const text = (path: string) => readFileSync(new URL(`../../docs/${path}`, import.meta.url), 'utf8');
const dashboard = text('ops/grafana/gatehouse.json');
const alerts = text('ops/prometheus/alerts.yml');

const queries = [
  ...[...dashboard.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(([, quoted = '""']) =>
    // What Grafana fills in.
    String(JSON.parse(quoted)).replaceAll('$__rate_interval', '5m').replaceAll('$job', '.*'),
  ),
  ...[...alerts.matchAll(/^ +expr: (.+)$/gm)].map(([, query = '']) => query),
];

/** The metrics that a query names, and whether it is PromQL at all. */
function read(query: string): { readonly isWhole: boolean; readonly names: readonly string[] } {
  const names: string[] = [];
  let isWhole = true;
  parser.parse(query).iterate({
    enter(node) {
      if (node.type.isError) isWhole = false;
      // In a vector selector; labels and functions are of other kinds.
      if (node.name === 'Identifier' && node.node.parent?.name === 'VectorSelector') {
        names.push(query.slice(node.from, node.to));
      }
    },
  });
  return { isWhole, names };
}

test('the grammar refuses what is no query', () => {
  expect(read('sum by (rate(x[5m])').isWhole).toBe(false);
  expect(read('sum(rate(gatehouse_x[5m]))')).toEqual({ isWhole: true, names: ['gatehouse_x'] });
});

test.each(queries)('%s is PromQL over metrics that there are', async (query) => {
  const { isWhole, names } = read(query);
  expect(isWhole).toBe(true);
  const exposed = await createMetrics().exposition();
  const known = new Set([...exposed.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  known.add('up');
  const unknown = names.filter(
    (name) => !known.has(name.replace(/_(bucket|sum|count)$/, '')) && !known.has(name),
  );
  expect(names.length).toBeGreaterThan(0);
  expect(unknown).toEqual([]);
});

test('every event that is asked for is one, and every metric of ours is on the dashboard', async () => {
  const asked = queries.flatMap((query) =>
    [...query.matchAll(/event=~?"([^"]+)"/g)].flatMap(([, names = '']) => names.split('|')),
  );
  expect(asked.filter((name) => !Object.hasOwn(metricEvents, name))).toEqual([]);
  const ours = [...(await createMetrics().exposition()).matchAll(/^# TYPE (gatehouse_\S+)/gm)];
  const named = ours.map(([, name = '']) => name);
  expect(named.length).toBeGreaterThan(15);
  expect(named.filter((name) => !dashboard.includes(name))).toEqual([]);
});

test('metrics and events stand in the reference, and each alert has a runbook that is there', () => {
  const reference = text('metrics.md');
  expect(Object.keys(metricEvents).filter((name) => !reference.includes(`\`${name}\``))).toEqual(
    [],
  );
  const runbooks = [...alerts.matchAll(/runbook: docs\/(.+)$/gm)].map(([, path = '']) => path);
  expect(runbooks.length).toBe([...alerts.matchAll(/- alert:/g)].length);
  for (const path of runbooks) expect(text(path).length, path).toBeGreaterThan(500);
});
