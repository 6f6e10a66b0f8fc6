import { Hono } from 'hono';
import { humanText, isObject, listed } from '#core/client-field.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { adminRefusalAnswer } from '#server/http/admin/authentication.ts';
import { type Ctx, type Env, json, noStore } from '#server/http/frame/answer.ts';
import { readJson } from '#server/http/frame/body.ts';
import { newId } from '#server/identifiers.ts';
import type { Node } from '#server/node.ts';
import {
  type AdminCredential,
  adminRoles,
  deleteCredential,
  insertCredential,
  listCredentials,
} from '#server/store/credential.ts';
import { adminSecretHash, newAdminSecret } from '#tokens/secret.ts';

const bodyBytesMax = 4096;

/** Admin credentials: listed, made (the secret is shown once), deleted. For the role `all` only. */
export function credentialRoutes(node: Node): Hono<Env> {
  const app = new Hono<Env>();
  app.get('/admin/credentials', async () =>
    json(200, (await listCredentials(node.database)).map(documentOf)),
  );
  app.post('/admin/credentials', async (c) => answerOf(await create(node, c)));
  app.delete('/admin/credentials/:id', async (c) => answerOf(await remove(node, c)));
  return app;
}

async function create(node: Node, c: Ctx): Promise<Response | Refusal> {
  const read = await readJson(c, bodyBytesMax);
  if (isRefusal(read)) return read;
  const body = isObject(read.body) ? read.body : {};
  const role = adminRoles.find((known) => known === body.role);
  if (role === undefined) {
    return refuse('malformed_request', `role must be ${listed(adminRoles)}`);
  }
  const name = humanText(body.name);
  if ('fault' in name || typeof name.value !== 'string' || name.value === '') {
    const fault = 'fault' in name ? name.fault : 'must not be empty';
    return refuse('malformed_request', `name ${fault}`);
  }
  const secret = newAdminSecret();
  const fresh = { id: newId(), name: name.value, role };
  const made = await insertCredential(node.database, fresh, adminSecretHash(secret));
  if (made === undefined) {
    return refuse('conflict', 'This name is taken, or there are as many credentials as may be.');
  }
  c.set('audited', {
    target: { kind: 'credential', id: made.id },
    detail: { name: made.name, role },
  });
  tell(node, c, 'admin_credential_created', made.id);
  return json(201, { ...documentOf(made), secret });
}

async function remove(node: Node, c: Ctx): Promise<Response | Refusal> {
  const id = c.req.param('id') ?? '';
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return refuse('not_found');
  if (!(await deleteCredential(node.database, id))) return refuse('not_found');
  await node.feed.acknowledged();
  tell(node, c, 'admin_credential_deleted', id);
  return new Response(null, { status: 204, headers: noStore });
}

function documentOf(credential: AdminCredential) {
  const { id, name, role, createdAt } = credential;
  return { id, name, role, created_at: createdAt };
}

function answerOf(result: Response | Refusal): Response {
  return isRefusal(result) ? adminRefusalAnswer(result) : result;
}

function tell(node: Node, c: Ctx, event: string, credentialId: string): void {
  node.log.info(event, { requestId: c.get('requestId'), address: c.get('address'), credentialId });
}
