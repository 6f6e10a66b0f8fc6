import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditEntry } from '#server/audit/entry.ts';
import { openTestStore, type TestStore } from '#server/testing/records.ts';
import {
  type AuditFilter,
  type AuditPlace,
  insertEntries,
  keepAudit,
  listEntries,
} from './audit.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store?.close());

const any: AuditFilter = {
  from: null,
  to: null,
  actor: null,
  action: null,
  target: null,
  requestId: null,
};

function entry(over: Partial<AuditEntry> = {}): AuditEntry {
  return {
    action: 'client.create',
    outcome: 'done',
    actor: { kind: 'credential', id: 'one', name: 'deploy job' },
    target: { kind: 'client', id: 'my-app' },
    requestId: randomUUID(),
    address: '192.0.2.7',
    ...over,
  };
}

const sqlOf = (text: string) => ({ name: `test_${text.slice(0, 40)}`, text });
const asServer = (text: string) => store.database.query(sqlOf(text), []);

describe('the log is append-only for the role of the server', () => {
  test('it reads what it wrote', async () => {
    const id = randomUUID();
    await insertEntries(store.database, [entry({ target: { kind: 'client', id } })]);
    const { entries } = await listEntries(store.database, { ...any, target: id }, undefined, 10);
    expect(entries).toMatchObject([{ action: 'client.create', actorName: 'deploy job', count: 1 }]);
  });

  test('it takes any text of strangers, and what looks like an escape of it', async () => {
    const id = randomUUID();
    const texts = ['k\\u0000', '\\\\u0000', 'a\0b', '\ud800', '\\ud800', '"'];
    const detail = { texts, name: 'k\\u0000' };
    const made = entry({ target: { kind: 'client', id }, reason: 'r\\u0000', detail });
    await insertEntries(store.database, [made]);
    const { entries } = await listEntries(store.database, { ...any, target: id }, undefined, 10);
    const kept = ['k\\u0000', '\\\\u0000', 'a?b', '\ufffd', '\\ud800', '"'];
    expect(entries).toMatchObject([
      { reason: 'r\\u0000', detail: { texts: kept, name: 'k\\u0000' } },
    ]);
  });

  test.each([
    "update audit set actor = 'somebody else' where true",
    'delete from audit where true',
    'truncate audit',
    'delete from audit_rest where true',
    'drop table audit',
    'alter table audit add column x integer',
    'alter table audit detach partition audit_rest',
    "update audit_rest set actor = 'somebody else' where true",
  ])('%s: refused', async (text) => {
    await expect(asServer(text)).rejects.toMatchObject({ code: '42501' });
    const months = await store.rows.query(
      `select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
       where i.inhparent = 'audit'::regclass and c.relname like 'audit_2%' order by 1 limit 1`,
    );
    const month = String(months.rows[0]?.relname);
    for (const verb of ['delete from', 'truncate']) {
      await expect(asServer(`${verb} ${month}`)).rejects.toMatchObject({ code: '42501' });
    }
  });

  test('it can make months and drop those that are long over, and no others', async () => {
    const old = new Date(Date.UTC(new Date().getUTCFullYear() - 2, 0, 1));
    const end = new Date(Date.UTC(old.getUTCFullYear(), 1, 1));
    const name = `audit_${old.getUTCFullYear()}_01`;
    await store.rows.query(
      `create table ${name} partition of audit
       for values from ('${old.toISOString()}') to ('${end.toISOString()}')`,
    );
    await store.rows.query(
      `insert into audit (id, at, action, outcome, actor_kind, target_kind)
       values (gen_random_uuid(), $1, 'client.create', 'done', 'system', 'client')`,
      [old.toISOString()],
    );
    expect(await keepAudit(store.database, 3650)).toBe(0);
    for (const days of [29, 0, -1]) {
      await expect(keepAudit(store.database, days)).rejects.toMatchObject({ code: '22023' });
    }
    const before = await store.rows.query('select count(*)::int as count from audit');
    expect(await keepAudit(store.database, 30)).toBe(1);
    const after = await store.rows.query('select count(*)::int as count from audit');
    expect(after.rows[0].count).toBe(before.rows[0].count - 1);
  });

  test('a function of the same name in a schema of the caller does not lead it astray', async () => {
    await store.rows.query('create schema if not exists elsewhere');
    const { rows } = await store.rows.query(
      `select p.proconfig from pg_proc p where p.proname = 'audit_keep'`,
    );
    expect(String(rows[0]?.proconfig)).toMatch(/search_path=.*pg_temp$/);
  });
});

test('the months to come are there, and an entry without a month is kept all the same', async () => {
  const { rows } = await store.rows.query(
    `select count(*)::int as months from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'audit'::regclass and c.relname ~ '^audit_[0-9]{4}_[0-9]{2}$'`,
  );
  expect(rows[0].months).toBe(3);
  await store.rows.query(
    `insert into audit (id, at, action, outcome, actor_kind, target_kind)
     values (gen_random_uuid(), now() + interval '2 years', 'client.create', 'done', 'system', 'client')`,
  );
  await keepAudit(store.database, 400);
  const kept = await store.rows.query('select count(*)::int as count from audit_rest');
  expect(kept.rows[0].count).toBe(1);
  await store.rows.query('delete from audit_rest where true');
});

describe('listing', () => {
  test('every entry is on exactly one page, the newest first, while others are added', async () => {
    const target = randomUUID();
    const mine = () => entry({ target: { kind: 'client', id: target } });
    // One statement: all of them have nearly the same time.
    await insertEntries(store.database, Array.from({ length: 100 }, mine));
    const seen: string[] = [];
    const times: string[] = [];
    let after: AuditPlace | undefined;
    do {
      const page = await listEntries(store.database, { ...any, target }, after, 7);
      for (const one of page.entries) {
        seen.push(one.id);
        times.push(one.at);
      }
      after = page.next;
      await insertEntries(store.database, [mine()]);
    } while (after !== undefined);
    expect(seen.length).toBe(100);
    expect(new Set(seen).size).toBe(100);
    expect(times).toEqual([...times].sort().reverse());
  });

  test('filters: by actor, by action, by a group of actions, by request, by time', async () => {
    const actor = { kind: 'credential', id: randomUUID(), name: 'auditor' } as const;
    const requestId = randomUUID();
    await insertEntries(store.database, [
      entry({ actor, action: 'key.rotate', requestId }),
      entry({ actor, action: 'client.delete' }),
    ]);
    const found = async (filter: Partial<AuditFilter>) => {
      const wanted = { ...any, actor: actor.id, ...filter };
      const { entries } = await listEntries(store.database, wanted, undefined, 10);
      return entries.map(({ action }) => action);
    };
    expect(await found({})).toHaveLength(2);
    expect(await found({ action: 'key.rotate' })).toEqual(['key.rotate']);
    expect(await found({ action: 'client.*' })).toEqual(['client.delete']);
    expect(await found({ requestId })).toEqual(['key.rotate']);
    expect(await found({ from: '2126-01-01T00:00:00Z' })).toEqual([]);
    expect(await found({ to: '2026-01-01T00:00:00Z' })).toEqual([]);
    expect(await found({ actor: 'auditor' })).toHaveLength(2);
    expect(await found({ actor: 'nobody' })).toEqual([]);
  });

  test('a change that began is left out once the same request says how it ended', async () => {
    const [finished, open] = [randomUUID(), randomUUID()];
    const target = { kind: 'client', id: randomUUID() };
    await insertEntries(store.database, [
      entry({ target, requestId: finished, outcome: 'begun' }),
      entry({ target, requestId: open, outcome: 'begun' }),
    ]);
    await insertEntries(store.database, [entry({ target, requestId: finished })]);
    const { entries } = await listEntries(
      store.database,
      { ...any, target: target.id },
      undefined,
      10,
    );
    expect(entries.map(({ outcome, requestId }) => [outcome, requestId])).toEqual([
      ['done', finished],
      ['begun', open],
    ]);
  });

  test('texts that strangers choose are cut and made storable, never refused', async () => {
    const id = `\0${'x'.repeat(400)}\ud800`;
    const detail = { text: `\0${'y'.repeat(10_000)}` };
    await insertEntries(store.database, [
      entry({ target: { kind: 'client', id }, detail, reason: 'z'.repeat(900) }),
    ]);
    const { entries } = await listEntries(store.database, any, undefined, 1);
    expect(entries[0]?.target).toBe(`?${'x'.repeat(254)}`);
    expect(entries[0]?.detail).toEqual({ left_out: 'too long' });
    expect(entries[0]?.reason).toHaveLength(500);
  });
});
