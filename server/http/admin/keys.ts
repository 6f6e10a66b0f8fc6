import { Hono } from 'hono';
import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { type Ctx, type Env, json, refusalAnswer } from '#server/http/frame/answer.ts';
import { readJson } from '#server/http/frame/body.ts';
import { newId } from '#server/identifiers.ts';
import { generationOf, importJwk, importSet, isKeyName } from '#server/keys/jwk.ts';
import { makeKey, type PrivateKey, signingRow } from '#server/keys/rotation.ts';
import {
  accessTokenAlg,
  accessTokenSet,
  idTokenSet,
  isBuiltInSet,
  isReservedSet,
  pepperSet,
  scheduleOf,
  slotsOf,
} from '#server/keys/slots.ts';
import type { Node } from '#server/node.ts';
import {
  deleteFromSet,
  type KeyRow,
  type NewKey,
  readSet,
  replaceInSet,
  storeKeys,
} from '#server/store/key.ts';
import { newPrivateKey, thumbprint } from '#tokens/material.ts';

const bodyBytesMax = 65_536;
/** Keys given together are tried in the order given: the first is the newest by this much each. */
const orderSeconds = 0.001;

type KeyNode = Pick<Node, 'config' | 'database' | 'feed' | 'keys' | 'log'>;

/**
 * Hydra's key doors, with one difference: every answer has public parts only, and the symmetric
 * keys of Gatehouse's own sets are not to be had at all (docs/divergences.md). A key made here is
 * used at once, and the earlier ones stay published. Beyond Hydra: `POST /admin/keys/{set}/rotate`
 * gives every kind of key of a set its successor at once, also of Gatehouse's own.
 */
export function keyRoutes(node: KeyNode): Hono<Env> {
  const app = new Hono<Env>();
  app.get('/admin/keys/:set', async (c) => answerOf(await getSet(node, setOf(c), undefined)));
  app.post('/admin/keys/:set', async (c) => answerOf(await generate(node, c)));
  app.put('/admin/keys/:set', async (c) => answerOf(await putSet(node, c)));
  app.delete('/admin/keys/:set', async (c) => answerOf(await remove(node, c, undefined)));
  app.get('/admin/keys/:set/:kid', async (c) => answerOf(await getSet(node, setOf(c), kidOf(c))));
  app.post('/admin/keys/:set/rotate', async (c) => answerOf(await rotate(node, c)));
  app.put('/admin/keys/:set/:kid', async (c) => answerOf(await putKey(node, c)));
  app.delete('/admin/keys/:set/:kid', async (c) => answerOf(await remove(node, c, kidOf(c))));
  return app;
}

async function getSet(
  node: KeyNode,
  setName: string,
  kid: string | undefined,
): Promise<Refusal | Response> {
  if (isReservedSet(setName) || !isKeyName(setName)) return refuse('not_found');
  const rows = await readSet(node.database, setName);
  const wanted = kid === undefined ? rows : rows.filter((row) => row.kid === kid);
  return wanted.length === 0 ? refuse('not_found') : json(200, publicSet(wanted));
}

async function generate(node: KeyNode, c: Ctx): Promise<Refusal | Response> {
  const setName = setOf(c);
  const read = await readJson(c, bodyBytesMax);
  if (isRefusal(read)) return read;
  const asked = generationOf(read.body);
  if (isRefusal(asked)) return asked;
  const refusal = setRefuses(setName, asked);
  if (refusal !== undefined) return refusal;
  const privateKey = await newPrivateKey(asked.alg);
  const key = { ...asked, setName, kid: asked.kid ?? thumbprint(privateKey), privateKey };
  if (await isKidOfOtherSet(node, key)) return refuse('conflict');
  const row = newKeyOf(node, key, 0);
  const stored = await storeKeys(node.database, [row]);
  if (!stored.has(row.id)) return refuse('conflict');
  c.set('audited', { detail: { kid: key.kid, alg: key.alg } });
  await changed(node, 'admin_key_made', [key]);
  return json(201, publicSet([row]));
}

async function putSet(node: KeyNode, c: Ctx): Promise<Refusal | Response> {
  const read = await readJson(c, bodyBytesMax);
  if (isRefusal(read)) return read;
  const keys = importSet(setOf(c), read.body);
  if (isRefusal(keys)) return keys;
  const rows = await store(node, c, keys, 'delete');
  return isRefusal(rows) ? rows : json(200, publicSet(rows));
}

async function putKey(node: KeyNode, c: Ctx): Promise<Refusal | Response> {
  const read = await readJson(c, bodyBytesMax);
  if (isRefusal(read)) return read;
  // As in Hydra the body's kid counts; the path's stands in where the body has none.
  const key = importJwk(setOf(c), read.body, kidOf(c));
  if (isRefusal(key)) return key;
  const rows = await store(node, c, [key], 'keep');
  return isRefusal(rows) ? rows : json(200, rows[0]?.publicJwk);
}

async function store(
  node: KeyNode,
  c: Ctx,
  keys: readonly PrivateKey[],
  others: 'keep' | 'delete',
): Promise<Refusal | readonly NewKey[]> {
  const setName = setOf(c);
  for (const key of keys) {
    const refusal = setRefuses(setName, key);
    if (refusal !== undefined) return refusal;
    if (await isKidOfOtherSet(node, key)) return refuse('conflict');
  }
  const rows = keys.map((key, index) => newKeyOf(node, key, -index * orderSeconds));
  await replaceInSet(node.database, setName, rows, others);
  // What the path calls it is not what it is called.
  c.set('audited', { detail: { kids: keys.map(({ kid }) => kid) } });
  await changed(node, 'admin_key_imported', keys);
  return rows;
}

/**
 * What the schedule would make some day, made now. No node is fresh before it has read it, so none
 * meets what it seals or signs without having it.
 */
async function rotate(node: KeyNode, c: Ctx): Promise<Refusal | Response> {
  const all = slotsOf(node.config, scheduleOf(node.config));
  const slots = all.filter(({ setName }) => setName === setOf(c));
  if (slots.length === 0)
    return refuse('not_found', 'Gatehouse has no keys of its own by this name.');
  const due = slots.map((slot) => ({ slot, id: newId(), activeInSeconds: 0 }));
  const made = await Promise.all(due.map((one) => makeKey(one, node.keys)));
  await storeKeys(node.database, made);
  c.set('audited', { detail: { kids: made.map(({ kid }) => kid) } });
  await changed(node, 'admin_key_made', made);
  return json(
    201,
    made.map(({ setName, kid, alg, use }) => ({ set: setName, kid, alg, use })),
  );
}

async function remove(node: KeyNode, c: Ctx, kid: string | undefined): Promise<Refusal | Response> {
  const setName = setOf(c);
  if (!isKeyName(setName)) return refuse('not_found');
  const isOwn = isReservedSet(setName);
  if (isOwn && kid === undefined) return refuse('not_found');
  if (setName === pepperSet) {
    const hint = 'Without its pepper no secret that was hashed with it could be checked any more.';
    return refuse('conflict', hint);
  }
  const done = await deleteFromSet(node.database, setName, kid, isOwn || isBuiltInSet(setName));
  if (done === 'kept') {
    return refuse(
      'conflict',
      'Gatehouse uses this key and has no other of its kind: make a new one first ' +
        '(POST /admin/keys/{set}/rotate), or replace the set (PUT).',
    );
  }
  if (done === 'deleted') await changed(node, 'admin_key_deleted', [{ setName, kid }]);
  // Hydra answers so for what is not there, too.
  return new Response(null, { status: 204 });
}

/** Why a set does not take a key like this one. */
function setRefuses(setName: string, key: Pick<PrivateKey, 'alg' | 'use'>): Refusal | undefined {
  if (!isKeyName(setName)) {
    return refuse('malformed_request', 'The set name must be 1 to 255 printable ASCII characters.');
  }
  if (isReservedSet(setName)) return refuse('conflict', 'This set is for Gatehouse itself.');
  if (isBuiltInSet(setName) && key.use !== 'sig') {
    return refuse('malformed_request', `The keys of ${setName} sign: use must be sig.`);
  }
  if (setName === accessTokenSet && key.alg !== accessTokenAlg) {
    return refuse('malformed_request', `The keys of ${accessTokenSet} are ${accessTokenAlg}.`);
  }
  return undefined;
}

/** The two published sets share one JWKS, so a kid must not be in both. */
async function isKidOfOtherSet(
  node: KeyNode,
  key: Pick<PrivateKey, 'setName' | 'kid'>,
): Promise<boolean> {
  if (!isBuiltInSet(key.setName)) return false;
  const other = key.setName === idTokenSet ? accessTokenSet : idTokenSet;
  return (await readSet(node.database, other)).some((row) => row.kid === key.kid);
}

/** Reads the keys here, and returns when no other node can still go by the earlier ones. */
async function changed(
  node: KeyNode,
  event: 'admin_key_made' | 'admin_key_imported' | 'admin_key_deleted',
  keys: readonly { readonly setName: string; readonly kid: string | undefined }[],
): Promise<void> {
  for (const { setName, kid } of keys) node.log.info(event, { set: setName, kid });
  await Promise.all([node.keys.reload(), node.feed.acknowledged()]);
}

function newKeyOf(node: KeyNode, key: PrivateKey, activeInSeconds: number): NewKey {
  return { ...signingRow(key, node.keys), id: newId(), activeInSeconds };
}

function publicSet(rows: readonly Pick<KeyRow, 'publicJwk'>[]): { readonly keys: unknown[] } {
  return { keys: rows.map((row) => row.publicJwk) };
}

function answerOf(answer: Refusal | Response): Response {
  return isRefusal(answer) ? refusalAnswer(answer, { admin: true }) : answer;
}

function setOf(c: Ctx): string {
  return c.req.param('set') ?? '';
}

function kidOf(c: Ctx): string {
  return c.req.param('kid') ?? '';
}
