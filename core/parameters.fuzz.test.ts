import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectLinear, hostileJson, hostileText } from '#server/testing/hostile.ts';
import { parseAuthorizationRequest, verifyRedirect } from './authorization-request.ts';
import { parseClaims } from './claims-parameter.ts';
import { isClientId } from './client-field.ts';
import { clientFieldSchemas, parseClientMetadata, withLifespans } from './client-metadata.ts';
import { formatGoDuration, parseGoDuration } from './go-duration.ts';
import { applyPatch, patchedMembers } from './json-patch.ts';
import type { Parameters } from './parameters.ts';
import { validCodeChallenge, validCodeVerifier } from './pkce.ts';
import { matchRedirectUri, redirectHost, redirectUriFault } from './redirect-uri.ts';
import { isRefusal, refusals } from './refusal.ts';
import { validResource } from './resource.ts';
import { parseScope, scopeAllowed, validScopeToken } from './scope.ts';

const registered = parseClientMetadata(
  { redirect_uris: ['https://app.example/cb', 'http://127.0.0.1/cb'], scope: 'openid a.* b' },
  'app',
);
if (isRefusal(registered)) throw new Error(registered.hint);
const { client, metadata } = registered;

/** A refusal of the table, or anything that is none. */
function isKnown(value: unknown): boolean {
  return !isRefusal(value) || value.refused in refusals;
}

const texts: readonly (readonly [string, (text: string) => unknown, readonly string[]])[] = [
  ['scope', parseScope, ['openid offline_access', 'a.b.c']],
  ['one scope', validScopeToken, ['openid']],
  ['scope against patterns', (text) => scopeAllowed(['a.*', '*.b', text.slice(0, 40)], text), []],
  ['claims', parseClaims, ['{"id_token":{"sub":{"value":"ana"},"acr":{"essential":true}}}']],
  ['redirect URI at registration', redirectUriFault, ['https://app.example/cb', 'app.example:/cb']],
  [
    'redirect URI of a request',
    (text) => matchRedirectUri(client.redirectUris, text),
    ['http://127.0.0.1:4711/cb'],
  ],
  ['host of a redirect URI', redirectHost, ['https://app.example/cb']],
  ['resource', validResource, ['https://api.example/a?b']],
  ['client_id', isClientId, ['app']],
  ['code_verifier', validCodeVerifier, ['a'.repeat(43)]],
  ['code_challenge', validCodeChallenge, ['E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM']],
  ['duration', parseGoDuration, ['1h30m', '1.5s']],
];

describe.each(texts)('%s', (_, parse, valid) => {
  test('takes any text, and refuses only by the table', () => {
    fc.assert(
      fc.property(hostileText(...valid), (text) => isKnown(parse(text))),
      { numRuns: 1_000 },
    );
  });

  test('costs linear time', () => expectLinear(parse));
});

test('a scope that was taken reads the same when it is written again', () => {
  fc.assert(
    fc.property(hostileText('openid a.b'), (text) => {
      const scopes = parseScope(text);
      if (!isRefusal(scopes)) expect(parseScope(scopes.join(' '))).toEqual(scopes);
    }),
  );
});

test('a duration that was taken reads the same when it is written again', () => {
  fc.assert(
    fc.property(hostileText('1h30m', '100ms'), (text) => {
      const parsed = parseGoDuration(text);
      if (parsed !== undefined) expect(parseGoDuration(formatGoDuration(parsed))).toBe(parsed);
    }),
  );
});

const requestNames = [
  ...['response_type', 'response_mode', 'redirect_uri', 'scope', 'state', 'nonce', 'prompt'],
  ...['max_age', 'claims', 'code_challenge', 'code_challenge_method', 'resource', 'audience'],
  ...['login_hint', 'ui_locales', 'acr_values', 'display', 'id_token_hint', 'request'],
];
const good: Readonly<Record<string, string>> = {
  response_type: 'code',
  scope: 'openid a.b',
  redirect_uri: 'https://app.example/cb',
  code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  code_challenge_method: 'S256',
  prompt: 'login consent',
  max_age: '3600',
};

function parametersOf(given: Readonly<Record<string, string>>): Parameters {
  const values = new Map(Object.entries(given));
  return {
    get: (name) => values.get(name),
    all: (name) => (values.has(name) ? [values.get(name) ?? ''] : []),
  };
}

describe('authorization request', () => {
  const changes = fc.dictionary(
    fc.constantFrom(...requestNames),
    hostileText(...Object.values(good)),
    { maxKeys: 4 },
  );

  test('takes any parameters, and redirects only where it is registered', () => {
    fc.assert(
      fc.property(changes, (given) => {
        const parameters = parametersOf({ ...good, ...given });
        const redirect = verifyRedirect(client, parameters);
        if (!isRefusal(redirect)) {
          expect(
            client.redirectUris.includes(redirect.uri) ||
              /^http:\/\/127\.0\.0\.1(:\d+)?\/cb$/.test(redirect.uri),
          ).toBe(true);
        }
        expect(isKnown(parseAuthorizationRequest(client, parameters))).toBe(true);
      }),
      { numRuns: 1_500 },
    );
  });

  test.each(requestNames)('%s costs linear time', (name) => {
    expectLinear(
      (text) => parseAuthorizationRequest(client, parametersOf({ ...good, [name]: text })),
      1_600,
    );
  });
});

describe('client metadata', () => {
  const document = hostileJson(...Object.keys(clientFieldSchemas));

  test('takes any JSON; what is taken is taken again as it was stored', () => {
    fc.assert(
      fc.property(document, (input) => {
        const parsed = parseClientMetadata(input, 'app');
        expect(isKnown(parsed)).toBe(true);
        expect(isKnown(withLifespans(metadata, input))).toBe(true);
        if (isRefusal(parsed)) return;
        expect(parseClientMetadata(parsed.metadata, 'app')).toEqual(parsed);
      }),
      { numRuns: 2_000 },
    );
    expect({}).not.toHaveProperty('polluted');
  });

  test.each(Object.keys(clientFieldSchemas))('%s costs linear time', (name) => {
    expectLinear((text) => parseClientMetadata({ [name]: text }, 'app'));
    expectLinear((text) => parseClientMetadata({ [name]: [text, { keys: text }] }, 'app'));
  });
});

describe('JSON Patch', () => {
  const operation = fc.record(
    {
      op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'other'),
      path: fc.oneof(
        fc.constantFrom(
          '/scope',
          '/redirect_uris/0',
          '/redirect_uris/-',
          '',
          '/__proto__/polluted',
        ),
        hostileText('/metadata/a', '/constructor/prototype/polluted'),
      ),
      from: fc.oneof(fc.constantFrom('/metadata', '/scope', '/__proto__'), hostileText()),
      value: hostileJson('polluted'),
    },
    { requiredKeys: ['op', 'path'] },
  );

  test('takes any JSON, changes nothing but its result, and pollutes no prototype', () => {
    const before = JSON.stringify(metadata);
    fc.assert(
      fc.property(fc.oneof(fc.array(operation, { maxLength: 8 }), hostileJson()), (patch) => {
        patchedMembers(patch);
        expect(isKnown(applyPatch(metadata, patch))).toBe(true);
      }),
      { numRuns: 1_500 },
    );
    expect(JSON.stringify(metadata)).toBe(before);
    for (const inherited of [{}, [], '', 1]) expect(inherited).not.toHaveProperty('polluted');
  });

  test('a path costs linear time', () => {
    expectLinear((path) => applyPatch(metadata, [{ op: 'add', path, value: 1 }]));
    expectLinear((value) => applyPatch(metadata, [{ op: 'test', path: '/metadata', value }]));
  });
});
