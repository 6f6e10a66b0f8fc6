import { readConfig } from '#server/config/environment.ts';
import { type Admin, openAdmin } from './admin.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import {
  type Document,
  documentOf,
  field,
  limitOf,
  listOf,
  showDocument,
  showListing,
} from './listing.ts';

/** `gatehouse grant list` */
export async function grantList(input: Input, terminal: Terminal): Promise<number> {
  const limit = limitOf(input);
  const admin = await openAdmin(readConfig());
  const subject = input.operand(0);
  const client = input.text('client');
  const query = client === undefined ? { subject } : { subject, client_id: client };
  showListing(input, terminal, await listOf(admin, '/admin/grants', query, limit), {
    heading: ['grant_id', 'client_id', 'state', 'scope', 'since'],
    cells: (grant) =>
      ['grant_id', 'client_id', 'state', 'scope', 'created_at'].map((name) => field(grant, name)),
    none: `${subject} has allowed nothing.`,
    limit,
  });
  return 0;
}

/** `gatehouse grant show` */
export async function grantShow(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  showDocument(input, terminal, await found(admin, input.operand(0)));
  return 0;
}

/** `gatehouse grant revoke` */
export async function grantRevoke(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const id = input.operand(0);
  await found(admin, id);
  await admin.call('POST', '/admin/revocations', { grant: id, reason: input.text('reason') });
  terminal.out(`Grant ${id} is revoked, and every token under it is dead.`);
  return 0;
}

/** `gatehouse grant narrow` */
export async function grantNarrow(input: Input, terminal: Terminal): Promise<number> {
  const scope = input.text('scope');
  if (scope === undefined) throw new Failure('Say what remains: --scope "A B".');
  const admin = await openAdmin(readConfig());
  const id = input.operand(0);
  await found(admin, id);
  const path = `/admin/grants/${encodeURIComponent(id)}/narrow`;
  const { body } = await admin.call('POST', path, { scope, reason: input.text('reason') });
  const left = documentOf(body);
  if (input.flag('json')) showDocument(input, terminal, left);
  else terminal.out(`Grant ${id} now allows: ${field(left, 'scope') || 'nothing'}`);
  return 0;
}

async function found(admin: Admin, id: string): Promise<Document> {
  const answer = await admin.find(`/admin/grants/${encodeURIComponent(id)}`);
  if (answer === undefined) {
    throw new Failure(`There is no grant "${id}"; \`grant list\` shows those of a person.`);
  }
  return documentOf(answer.body);
}
