import { expect, test } from 'vitest';
import { createMetrics } from './metrics.ts';

test('what was counted stands in the exposition, by route pattern', async () => {
  const metrics = createMetrics();
  metrics.requestEnded('/oauth2/token', 'POST', 200, 0.002);
  metrics.batchSent('chain', 7, 0.001);
  metrics.feedPolled(0.0005, 3);
  metrics.refused('token', 'code_invalid');
  metrics.event('code_replay');
  metrics.swept('chain', 12);
  metrics.gauge('facts_in_memory', () => 42);
  const text = await metrics.exposition();
  for (const line of [
    'gatehouse_request_seconds_count{route="/oauth2/token",method="POST",status="200"} 1',
    'gatehouse_batch_rows_sum{kind="chain"} 7',
    'gatehouse_feed_poll_seconds_count 1',
    'gatehouse_feed_facts_total 3',
    'gatehouse_refusals_total{endpoint="token",reason="code_invalid"} 1',
    'gatehouse_events_total{event="code_replay"} 1',
    'gatehouse_events_total{event="refresh_reuse"} 0',
    'gatehouse_swept_rows_total{table="chain"} 12',
    'gatehouse_facts_in_memory 42',
    'process_resident_memory_bytes ',
  ]) {
    expect(text).toContain(line);
  }
});

test('R21: labels cannot grow without bound', async () => {
  const metrics = createMetrics();
  for (let i = 0; i < 2000; i += 1) metrics.refused(`endpoint-${i}`, 'code_invalid');
  const lines = (await metrics.exposition()).split('\n');
  expect(lines.filter((line) => line.startsWith('gatehouse_refusals_total')).length).toBeLessThan(
    502,
  );
});

test('two registries in one process do not meet', async () => {
  const [one, other] = [createMetrics(), createMetrics()];
  one.event('code_replay');
  expect(await other.exposition()).toContain('gatehouse_events_total{event="code_replay"} 0');
});
