import { randomUUID } from 'node:crypto';
import { Hono } from 'hono';
import type { Client } from '#core/client.ts';
import { isObject, listed } from '#core/client-field.ts';
import {
  type ClientMetadata,
  type ParsedClient,
  parseClientMetadata,
  patchableDocument,
  withLifespans,
} from '#core/client-metadata.ts';
import { applyPatch, patchedMembers } from '#core/json-patch.ts';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { argon2id } from '#server/argon2.ts';
import { adminRefusalAnswer } from '#server/http/admin/authentication.ts';
import { pageLinks, pageOf } from '#server/http/admin/page.ts';
import { type Ctx, type Env, json, noStore } from '#server/http/frame/answer.ts';
import { readJson } from '#server/http/frame/body.ts';
import type { Node } from '#server/node.ts';
import {
  type ClientWithSecrets,
  deleteClient,
  dropRotatedSecrets,
  getClient,
  insertClient,
  listClients,
  rotateSecret,
  type SecretChange,
  updateClient,
} from '#server/store/client.ts';
import { hashSecret, newClientSecret, type SecretHash, secretFault } from '#tokens/secret.ts';

/** Tries of a change that others keep overtaking, before it answers 409. */
const triesMax = 8;

/**
 * Hydra's client doors. Whatever may take a right away is answered once no node can still act on
 * what was before; secrets are shown in the one answer that made them.
 */
export function clientRoutes(node: Node): Hono<Env> {
  const app = new Hono<Env>();
  app.get('/admin/clients', async (c) => answerOf(await list(node, c)));
  app.post('/admin/clients', async (c) => answerOf(await create(node, c)));
  app.get('/admin/clients/:id', async (c) => answerOf(await get(node, idOf(c))));
  app.put('/admin/clients/:id', async (c) => answerOf(await set(node, c)));
  app.patch('/admin/clients/:id', async (c) => answerOf(await patch(node, c)));
  app.delete('/admin/clients/:id', async (c) => answerOf(await remove(node, c)));
  app.put('/admin/clients/:id/lifespans', async (c) => answerOf(await setLifespans(node, c)));
  app.post('/admin/clients/:id/secrets/rotate', async (c) => answerOf(await rotate(node, c)));
  app.delete('/admin/clients/:id/secrets/rotate', async (c) => answerOf(await unrotate(node, c)));
  return app;
}

async function list(node: Node, c: Ctx): Promise<Response | Refusal> {
  const page = pageOf(c);
  if (isRefusal(page)) return page;
  const filter = { name: queryOf(c, 'client_name'), owner: queryOf(c, 'owner') };
  if (Object.values(filter).some((text) => text?.includes('\0'))) {
    return refuse('invalid_parameter', 'client_name and owner must not have U+0000');
  }
  const clients = await listClients(node.database, page.after, filter, page.size + 1);
  const shown = clients.slice(0, page.size);
  const next = clients.length > page.size ? shown.at(-1)?.clientId : undefined;
  return json(
    200,
    shown.map((client) => documentOf(client)),
    { ...noStore, link: pageLinks(c, page, next) },
  );
}

async function get(node: Node, clientId: string): Promise<Response | Refusal> {
  const found = await getClient(node.database, clientId);
  return found === undefined ? refuse('not_found') : json(200, documentOf(found.client));
}

async function create(node: Node, c: Ctx): Promise<Response | Refusal> {
  const body = await objectOf(c);
  if (isRefusal(body)) return body;
  const { document } = body;
  const chosenId = document.client_id === '' ? undefined : (document.client_id ?? undefined);
  if (chosenId !== undefined && typeof chosenId !== 'string') {
    return refuse('invalid_metadata', 'client_id must be a string');
  }
  const clientId = chosenId ?? randomUUID();
  const parsed = parseClientMetadata(document, clientId);
  if (isRefusal(parsed)) return parsed;
  const secret = givenSecret(document, parsed.client);
  if (isRefusal(secret)) return secret;
  const isPublic = parsed.client.authMethod === 'none';
  const shown = isPublic ? undefined : (secret ?? newClientSecret());
  const hash = shown === undefined ? undefined : await hashed(node, clientId, shown);
  const client = await insertClient(node.database, parsed.metadata, hash);
  if (client === undefined) {
    return refuse('conflict', `A client with the client_id ${clientId} exists already.`);
  }
  node.clients.invalidate(clientId);
  // A node may have been asked for a chosen id before, and know it as absent.
  if (chosenId !== undefined) await node.feed.acknowledged();
  c.set('audited', { target: { kind: 'client', id: clientId } });
  tell(node, c, 'client_created', clientId);
  return json(201, documentOf(client, shown));
}

async function set(node: Node, c: Ctx): Promise<Response | Refusal> {
  const body = await objectOf(c);
  if (isRefusal(body)) return body;
  const { document } = body;
  const otherId = document.client_id;
  if (otherId !== undefined && otherId !== null && otherId !== '' && otherId !== idOf(c)) {
    return refuse('invalid_metadata', 'client_id cannot be changed');
  }
  return change(node, c, 'client_replaced', () => {
    const parsed = parseClientMetadata(document, idOf(c));
    if (isRefusal(parsed)) return parsed;
    const secret = givenSecret(document, parsed.client);
    return isRefusal(secret) ? secret : { ...parsed, secret };
  });
}

/** What a patch may not write: our own words about the client. */
const unpatchable = [
  'client_id',
  'client_secret_expires_at',
  'created_at',
  'updated_at',
  'registration_access_token',
  'registration_client_uri',
] as const;

async function patch(node: Node, c: Ctx): Promise<Response | Refusal> {
  const read = await readJson(c);
  if (isRefusal(read)) return read;
  const operations = read.body;
  const members = patchedMembers(operations);
  if (members.some((member) => unpatchable.some((name) => name === member))) {
    return refuse('malformed_request', `a patch must not change ${listed(unpatchable)}`);
  }
  return change(node, c, 'client_patched', ({ client }) => {
    const document = applyPatch(patchableDocument(client.metadata), operations);
    if (isRefusal(document)) return document;
    if (document.client_id !== client.clientId) {
      return refuse('malformed_request', 'client_id cannot be changed');
    }
    const parsed = parseClientMetadata(document, client.clientId);
    if (isRefusal(parsed)) return parsed;
    const secret = givenSecret(document, parsed.client);
    return isRefusal(secret) ? secret : { ...parsed, secret };
  });
}

async function setLifespans(node: Node, c: Ctx): Promise<Response | Refusal> {
  const body = await objectOf(c);
  if (isRefusal(body)) return body;
  return change(node, c, 'client_lifespans_set', ({ client }) => {
    const parsed = withLifespans(client.metadata, body.document);
    return isRefusal(parsed) ? parsed : { ...parsed, secret: undefined };
  });
}

async function rotate(node: Node, c: Ctx): Promise<Response | Refusal> {
  const secret = newClientSecret();
  const hash = await hashed(node, idOf(c), secret);
  return overtaking(node, c, 'client_secret_rotated', async (found) => {
    if (found.client.authMethod === 'none') {
      return refuse('invalid_metadata', 'a public client has no secret to rotate');
    }
    const client = await rotateSecret(node.database, idOf(c), found.version, hash);
    return client && { client, secret };
  });
}

async function unrotate(node: Node, c: Ctx): Promise<Response | Refusal> {
  return overtaking(node, c, 'client_rotated_secrets_removed', async (found) => {
    const client = await dropRotatedSecrets(node.database, idOf(c), found.version);
    return client && { client, secret: undefined };
  });
}

async function remove(node: Node, c: Ctx): Promise<Response | Refusal> {
  const clientId = idOf(c);
  const gone = await deleteClient(node.database, clientId);
  node.clients.invalidate(clientId);
  if (!gone) return refuse('not_found');
  await node.feed.acknowledged();
  tell(node, c, 'client_deleted', clientId);
  return new Response(null, { status: 204, headers: noStore });
}

interface Change extends ParsedClient {
  readonly secret: string | undefined;
}

/** Replaces a client's document with what `decide` makes of the present one. */
function change(
  node: Node,
  c: Ctx,
  event: string,
  decide: (found: ClientWithSecrets) => Change | Refusal,
): Promise<Response | Refusal> {
  return overtaking(node, c, event, async (found) => {
    const decided = decide(found);
    if (isRefusal(decided)) return decided;
    const { secretChange, shown } = await secretChangeOf(node, found, decided);
    const client = await updateClient(node.database, found.version, decided.metadata, secretChange);
    return client && { client, secret: shown };
  });
}

/** A given secret replaces all; a client that becomes confidential gets one; a public one has none. */
async function secretChangeOf(
  node: Node,
  found: ClientWithSecrets,
  { client, secret }: Change,
): Promise<{ secretChange: SecretChange; shown: string | undefined }> {
  if (client.authMethod === 'none') return { secretChange: { secrets: 'drop' }, shown: undefined };
  const shown = secret ?? (found.secrets.length === 0 ? newClientSecret() : undefined);
  if (shown === undefined) return { secretChange: { secrets: 'keep' }, shown };
  const hash = await hashed(node, client.clientId, shown);
  return { secretChange: { secrets: 'replace', secret: hash }, shown };
}

/**
 * Reads the client, lets `attempt` change that version, and starts again where another change came
 * first. Answers when no node can still act on the client as it was.
 */
async function overtaking(
  node: Node,
  c: Ctx,
  event: string,
  attempt: (
    found: ClientWithSecrets,
  ) => Promise<{ client: Client; secret: string | undefined } | Refusal | undefined>,
): Promise<Response | Refusal> {
  const clientId = idOf(c);
  for (let tries = 0; tries < triesMax; tries += 1) {
    const found = await getClient(node.database, clientId);
    if (found === undefined) return refuse('not_found');
    const result = await attempt(found);
    if (result === undefined) continue;
    if (isRefusal(result)) return result;
    node.clients.invalidate(clientId);
    await node.feed.acknowledged();
    tell(node, c, event, clientId);
    return json(200, documentOf(result.client, result.secret));
  }
  return refuse('conflict', 'The client is being changed by others; try again.');
}

function hashed(node: Node, clientId: string, secret: string): Promise<SecretHash> {
  return hashSecret(node.keys.current(), clientId, secret, argon2id);
}

function givenSecret(document: ClientMetadata, client: Client): string | undefined | Refusal {
  const secret = document.client_secret;
  if (secret === undefined || secret === null || secret === '') return undefined;
  const fault = secretFault(secret);
  if (typeof secret !== 'string' || fault !== undefined) {
    return refuse('invalid_metadata', `client_secret ${fault}`);
  }
  return client.authMethod === 'none'
    ? refuse('invalid_metadata', 'client_secret must be left out for a public client')
    : secret;
}

/** Hydra's `oAuth2Client`; the secret in the one answer that made it. */
function documentOf(client: Client, secret?: string): ClientMetadata {
  return {
    ...client.metadata,
    ...(secret === undefined ? {} : { client_secret: secret }),
    client_secret_expires_at: 0,
  };
}

async function objectOf(c: Ctx): Promise<{ readonly document: ClientMetadata } | Refusal> {
  const read = await readJson(c);
  if (isRefusal(read)) return read;
  return isObject(read.body)
    ? { document: read.body }
    : refuse('malformed_request', 'The body must be a JSON object.');
}

function idOf(c: Ctx): string {
  return c.req.param('id') ?? '';
}

function queryOf(c: Ctx, name: string): string | undefined {
  return c.req.query(name) || undefined;
}

function answerOf(result: Response | Refusal): Response {
  return isRefusal(result) ? adminRefusalAnswer(result) : result;
}

function tell(node: Node, c: Ctx, event: string, clientId: string): void {
  node.log.info(event, { requestId: c.get('requestId'), address: c.get('address'), clientId });
}
