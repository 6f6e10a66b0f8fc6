import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditedDoors, unauditedDoors } from '#server/http/admin/audited.ts';
import { createAdminGate } from '#server/http/admin/authentication.ts';
import { createLever } from '#server/lever.ts';
import { openTestNode, type TestNode } from '#server/testing/node.ts';
import { adminApp } from './admin-app.ts';
import { createWrites } from './writes.ts';

let one: TestNode;
beforeAll(async () => {
  one = await openTestNode({ env: { GATEHOUSE_ADMIN_TOKEN: 'the-admin-token-of-this-test' } });
});
afterAll(() => one?.close());

function app() {
  const { node } = one;
  const engine = {
    ...node,
    writes: createWrites(node.database, node.metrics),
    rateLimits: undefined,
    failpoints: undefined,
    lever: createLever({ ...node, accessTokenSeconds: node.config.accessTokenSeconds }),
    pairwiseSalt: 'a-salt-of-this-test',
    errorPage: () => new Response('a page'),
  };
  return adminApp(engine, createAdminGate(node));
}

const reads = new Set(['GET', 'HEAD', 'OPTIONS', 'ALL']);

test('no admin door changes anything without an action of the audit log', () => {
  const doors = app()
    .routes.filter(({ method, path }) => !reads.has(method) && path.startsWith('/admin/'))
    .map(({ method, path }) => `${method} ${path}`);
  expect(doors.length).toBeGreaterThan(20);
  // A door that is missing here belongs into server/http/admin/audited.ts.
  const unknown = doors.filter((door) => !(door in auditedDoors) && !unauditedDoors.has(door));
  expect(unknown).toEqual([]);
  const named = [...Object.keys(auditedDoors), ...unauditedDoors];
  expect(named.filter((door) => !doors.includes(door))).toEqual([]);
});

test('every audited door writes its entries: the middleware stands before it', async () => {
  const { node } = one;
  const admin = app();
  for (const door of Object.keys(auditedDoors)) {
    const [method = '', path = ''] = door.split(' ');
    const name = `door-${method}-${path}`.replaceAll(/[^A-Za-z-]/g, '');
    const filled = path.replace(/:id|:set|:kid/g, name);
    const token = node.config.adminToken ?? '';
    await admin.request(`http://admin.example${filled}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
    });
  }
  const rows = await node.database.query<{ action: string; outcomes: string }>(
    {
      name: 'actions_of_this_test',
      text: `select a.action, string_agg(a.outcome, ' ' order by a.at) as outcomes
        from audit a group by a.action`,
    },
    [],
  );
  const written = new Map(rows.map((row) => [row.action, row.outcomes]));
  for (const { action } of Object.values(auditedDoors)) {
    expect(written.get(action), action).toMatch(/^begun (done|refused|failed)/);
  }
});
