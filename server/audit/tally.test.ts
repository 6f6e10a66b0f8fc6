import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { AuditEntry } from './entry.ts';
import { createTally, keysMax } from './tally.ts';

function gather() {
  const entries: AuditEntry[] = [];
  const tally = createTally(async (entry) => {
    await sleep(1);
    entries.push(entry);
  });
  const event = (address: string, reason = 'admin_unauthorized') =>
    tally.count({
      action: 'admin.deny',
      target: { kind: 'admin door', id: '/admin/clients' },
      reason,
      requestId: '00000000-0000-4000-8000-000000000000',
      address,
    });
  return { entries, tally, event };
}

test('the first of its kind is written at once, the others share an entry', async () => {
  const { entries, tally, event } = gather();
  for (let n = 0; n < 1000; n += 1) event('192.0.2.1');
  event('192.0.2.2');
  await sleep(5);
  expect(entries.map(({ count }) => count)).toEqual([undefined, undefined]);
  await tally.flush();
  expect(entries.slice(2)).toMatchObject([{ address: '192.0.2.1', count: 999 }]);
});

test('however many addresses attack, the entries of a minute are bounded and none is lost', async () => {
  const { entries, tally, event } = gather();
  const attacks = 100_000;
  for (let n = 0; n < attacks; n += 1) event(`192.0.2.${n % 5000}`);
  await tally.flush();
  expect(entries.length).toBeLessThanOrEqual(2 * keysMax + 1);
  expect(entries.reduce((sum, { count = 1 }) => sum + count, 0)).toBe(attacks);
});

test('a crowd of one action hides nothing of another', async () => {
  const { entries, tally, event } = gather();
  const common = { requestId: '00000000-0000-4000-8000-000000000000', address: '192.0.2.1' };
  for (let n = 0; n < 2 * keysMax; n += 1) {
    tally.count({ ...common, action: 'client.guess', target: { kind: 'client', id: `app ${n}` } });
  }
  event('192.0.2.66', 'admin_forbidden');
  const stolen = { kind: 'client', id: 'stolen' } as const;
  const target = stolen;
  tally.count({ ...common, action: 'token.forged', actor: stolen, target });
  await tally.flush();
  const of = (action: string) => entries.filter((entry) => entry.action === action);
  expect(of('admin.deny')).toMatchObject([{ address: '192.0.2.66', reason: 'admin_forbidden' }]);
  expect(of('token.forged')).toMatchObject([{ actor: stolen, target }]);
});

test('two who are known by name do not share an entry', async () => {
  const { entries, tally } = gather();
  const target = { kind: 'admin door', id: '/admin/keys/*' };
  const common = { action: 'admin.deny', target, requestId: '', address: '192.0.2.1' } as const;
  for (const id of ['one', 'one', 'other']) {
    tally.count({ ...common, actor: { kind: 'credential', id, name: id } });
  }
  await tally.flush();
  expect(entries.map(({ actor, count }) => [actor.id, count])).toEqual([
    ['one', undefined],
    ['other', undefined],
    ['one', 1],
  ]);
});

test('the next minute begins anew', async () => {
  const { entries, tally, event } = gather();
  event('192.0.2.1');
  await tally.flush();
  event('192.0.2.1');
  await tally.flush();
  expect(entries).toHaveLength(2);
});
