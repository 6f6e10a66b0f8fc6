import { readConfig } from '#server/config/environment.ts';
import { openAdmin } from './admin.ts';
import type { Input, Terminal } from './command.ts';
import { documentOf, field, plain, showListing } from './listing.ts';

const heading = ['set', 'kid', 'alg', 'use', 'state', 'active at', 'retired at'];
const names = ['set', 'kid', 'alg', 'use', 'state', 'active_at', 'retired_at'];

/** `gatehouse key list` */
export async function keyList(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const { body } = await admin.call('GET', '/admin/keys');
  const all = Array.isArray(body) ? body.map(documentOf) : [];
  const set = input.text('set');
  showListing(
    input,
    terminal,
    all.filter((key) => set === undefined || field(key, 'set') === set),
    {
      heading,
      cells: (key) => names.map((name) => field(key, name)),
      none: set === undefined ? 'There are no keys.' : `There is no key in the set "${set}".`,
    },
  );
  return 0;
}

/** `gatehouse key rotate` */
export async function keyRotate(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const set = encodeURIComponent(input.operand(0));
  const { body } = await admin.call('POST', `/admin/keys/${set}/rotate`);
  const made = Array.isArray(body) ? body.map(documentOf) : [];
  if (input.flag('json')) {
    terminal.out(JSON.stringify(made.map(plain), undefined, 2));
    return 0;
  }
  for (const key of made) {
    terminal.out(
      `Made ${field(key, 'set')} ${field(key, 'kid')} (${field(key, 'alg')}). It is in use.`,
    );
  }
  return 0;
}

/** `gatehouse key delete` */
export async function keyDelete(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const [set, kid] = [input.operand(0), input.operand(1)];
  // The door answers alike where there is nothing, as Hydra's does.
  const { body } = await admin.call('GET', '/admin/keys');
  const isThere =
    Array.isArray(body) &&
    body.map(documentOf).some((key) => field(key, 'set') === set && field(key, 'kid') === kid);
  if (!isThere) {
    terminal.error(`There is no key "${kid}" in the set "${set}"; \`key list\` shows them.`);
    return 1;
  }
  await admin.call('DELETE', `/admin/keys/${encodeURIComponent(set)}/${encodeURIComponent(kid)}`);
  terminal.out(`Key ${kid} is deleted.`);
  return 0;
}
