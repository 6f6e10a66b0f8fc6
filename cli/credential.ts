import { readConfig } from '#server/config/environment.ts';
import { openAdmin } from './admin.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { documentOf, field, showDocument, showListing } from './listing.ts';

/** `gatehouse credential list` */
export async function credentialList(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const { body } = await admin.call('GET', '/admin/credentials');
  showListing(input, terminal, Array.isArray(body) ? body.map(documentOf) : [], {
    heading: ['id', 'name', 'role', 'made at'],
    cells: (one) => ['id', 'name', 'role', 'created_at'].map((name) => field(one, name)),
    none: 'There are no credentials beside the admin token.',
  });
  return 0;
}

/** `gatehouse credential create` */
export async function credentialCreate(input: Input, terminal: Terminal): Promise<number> {
  const role = input.text('role');
  if (role === undefined) throw new Failure('Say what it opens: --role handshake, for example.');
  const admin = await openAdmin(readConfig());
  const { body } = await admin.call('POST', '/admin/credentials', { name: input.operand(0), role });
  showDocument(input, terminal, documentOf(body));
  if (!input.flag('json')) terminal.out('Keep the secret: it is not shown again.');
  return 0;
}

/** `gatehouse credential delete` */
export async function credentialDelete(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const named = input.operand(0);
  const { body } = await admin.call('GET', '/admin/credentials');
  const all = Array.isArray(body) ? body.map(documentOf) : [];
  const one = all.find((made) => field(made, 'id') === named || field(made, 'name') === named);
  if (one === undefined) {
    throw new Failure(`There is no credential "${named}"; \`credential list\` shows them.`);
  }
  const id = field(one, 'id');
  await admin.call('DELETE', `/admin/credentials/${id}`);
  terminal.out(`Credential ${field(one, 'name')} (${id}) is deleted.`);
  return 0;
}
