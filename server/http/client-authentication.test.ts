import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseClientMetadata } from '#core/client-metadata.ts';
import { isRefusal, refusals, refuse } from '#core/refusal.ts';
import { argon2id } from '#server/argon2.ts';
import {
  clientRefusalAnswer,
  presentedClient,
  provenClient,
} from '#server/http/client-authentication.ts';
import { deleteClient, insertClient } from '#server/store/client.ts';
import { openTestNode, type TestNode } from '#server/testing/node.ts';
import { hashSecret, newClientSecret } from '#tokens/secret.ts';

let opened: TestNode;
beforeAll(async () => {
  opened = await openTestNode();
});
afterAll(() => opened?.close());

async function create(
  method: string,
  { secret = newClientSecret(), clientId = `app-${crypto.randomUUID()}`, ...fields } = {},
) {
  const parsed = parseClientMetadata({ token_endpoint_auth_method: method, ...fields }, clientId);
  if (isRefusal(parsed)) throw new Error(parsed.hint);
  const { node } = opened;
  const hash = await hashSecret(node.keys.current(), clientId, secret, argon2id);
  await insertClient(node.database, parsed.metadata, method === 'none' ? undefined : hash);
  return { clientId, secret };
}

async function ask(form: Record<string, string>, authorization?: string) {
  const { node } = opened;
  const presented = await presentedClient(node, authorization, new URLSearchParams(form));
  return isRefusal(presented) ? presented : provenClient(node, node.keys.current(), presented);
}

function basic(id: string, secret: string): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
}

/** Every character percent-encoded, as oauth4webapi does with all that is not a letter. */
function everyCharacterEncoded(text: string): string {
  return [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
}

describe('RFC 6749 §2.3: a client is let in by the method it is registered for', () => {
  test('client_secret_basic, in any case of the scheme, also with its client_id in the body', async () => {
    const { clientId, secret } = await create('client_secret_basic');
    const header = basic(clientId, secret);
    const right = { client: { clientId }, method: 'client_secret_basic' };
    expect(await ask({}, header)).toMatchObject(right);
    expect(await ask({}, header.replace('Basic', 'bAsIc'))).toMatchObject(right);
    expect(await ask({ client_id: clientId }, header)).toMatchObject(right);
  });

  test('client_secret_post and none', async () => {
    const post = await create('client_secret_post');
    expect(await ask({ client_id: post.clientId, client_secret: post.secret })).toMatchObject({
      method: 'client_secret_post',
    });
    const { clientId } = await create('none');
    expect(await ask({ client_id: clientId })).toMatchObject({ method: 'none' });
  });

  test('id and secret are form-decoded inside of Basic', async () => {
    const clientId = `https://app.example/a:b+c%?${crypto.randomUUID()}`;
    const secret = 'sp ace:col+on%per/cent=äé & thirty-two characters';
    await create('client_secret_basic', { clientId, secret });
    for (const encode of [everyCharacterEncoded, encodeURIComponent]) {
      expect(await ask({}, basic(encode(clientId), encode(secret)))).toHaveProperty('client');
    }
    const plus = encodeURIComponent(secret).replaceAll('%20', '+');
    expect(await ask({}, basic(encodeURIComponent(clientId), plus))).toHaveProperty('client');
  });
});

describe('security 32, 33: what is refused, always as invalid_client and 401', () => {
  test.each<[string, (c: { clientId: string; secret: string }) => ReturnType<typeof ask>]>([
    ['no client at all', () => ask({})],
    ['an unknown client', ({ secret }) => ask({}, basic('nobody', secret))],
    ['a wrong secret', ({ clientId, secret }) => ask({}, basic(clientId, `${secret}x`))],
    ['a blank secret', ({ clientId }) => ask({}, basic(clientId, ''))],
    [
      'a blank secret in the body',
      ({ clientId }) => ask({ client_id: clientId, client_secret: '' }),
    ],
    ['no secret', ({ clientId }) => ask({ client_id: clientId })],
    ['the body instead of Basic', (c) => ask({ client_id: c.clientId, client_secret: c.secret })],
    [
      'Basic and a secret in the body',
      (c) => ask({ client_secret: c.secret }, basic(c.clientId, c.secret)),
    ],
    ['another client_id in the body', (c) => ask({ client_id: 'x' }, basic(c.clientId, c.secret))],
    ['an assertion', (c) => ask({ client_id: c.clientId, client_assertion: 'x' })],
    ['Basic that is not base64', () => ask({}, 'Basic %%%')],
    ['Basic without a colon', () => ask({}, `Basic ${Buffer.from('abc').toString('base64')}`)],
    ['Basic without an id', () => ask({}, basic('', 'secret'))],
    ['Basic with a stray percent', () => ask({}, basic('a%zz', 'secret'))],
    ['Basic with broken UTF-8', () => ask({}, basic('a%ff', 'secret'))],
    ['Basic with U+0000', () => ask({}, basic('a%00b', 'secret'))],
    ['empty Basic', () => ask({}, 'Basic ')],
    ['another scheme', () => ask({}, 'Digest username="x"')],
    ['an endless header', () => ask({}, `Basic ${'a'.repeat(100_000)}`)],
    ['an endless id', () => ask({ client_id: 'a'.repeat(100_000) })],
    ['an id with U+0000', () => ask({ client_id: 'a\0b' })],
  ])('%s', async (_name, attempt) => {
    const result = await attempt(await create('client_secret_basic'));
    expect(isRefusal(result) && refusals[result.refused]).toMatchObject({
      error: 'invalid_client',
      status: 401,
    });
  });

  test('a public client that sends a secret', async () => {
    const { clientId, secret } = await create('none');
    expect(await ask({ client_id: clientId, client_secret: secret })).toHaveProperty('refused');
    expect(await ask({}, basic(clientId, secret))).toHaveProperty('refused');
  });

  test('a disabled client is told so only when it knows the secret', async () => {
    const { clientId, secret } = await create('client_secret_basic', { disabled: true } as object);
    expect(await ask({}, basic(clientId, secret))).toEqual({ refused: 'client_disabled' });
    expect(await ask({}, basic(clientId, 'x'.repeat(43)))).toMatchObject({
      refused: 'unknown_client',
    });
  });
});

test('security 34: an unknown client and a wrong secret cannot be told apart', async () => {
  const { clientId, secret } = await create('client_secret_basic');
  const unknown = await ask({}, basic(`app-${crypto.randomUUID()}`, secret));
  expect(await ask({}, basic(clientId, 'x'.repeat(43)))).toEqual(unknown);
  expect(await ask({ client_id: clientId, client_secret: 'x'.repeat(43) })).toEqual(unknown);
  expect(await ask({ client_id: clientId })).toEqual(unknown);
});

test('a client deleted elsewhere is unknown once that was answered', async () => {
  const { clientId, secret } = await create('client_secret_basic');
  expect(await ask({}, basic(clientId, secret))).toHaveProperty('client');
  await deleteClient(opened.node.database, clientId);
  await opened.node.feed.acknowledged();
  expect(await ask({}, basic(clientId, secret))).toMatchObject({ refused: 'unknown_client' });
});

test('RFC 9110 §15.5.2: 401 carries a challenge, 429 none', () => {
  const challenge = clientRefusalAnswer(refuse('unknown_client')).headers.get('www-authenticate');
  expect(challenge).toMatch(/^Basic /);
  const limited = clientRefusalAnswer(refuse('rate_limited'));
  expect(limited.status).toBe(429);
  expect(limited.headers.get('www-authenticate')).toBeNull();
});
