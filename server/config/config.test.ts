import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ConfigError, insecureWarnings, isLoopbackHost, loadConfig } from './config.ts';
import { fileName, settingKeys, variableName } from './names.ts';
import { configurationReference } from './reference.ts';

type Env = Record<string, string>;
const noFile = () => {
  throw new Error('no such file');
};
const load = (env: Env = {}) => loadConfig({ env, readFile: noFile });
const loadWithFile = (file: unknown, env: Env = {}) =>
  loadConfig({
    env: { GATEHOUSE_CONFIG: 'gatehouse.json', ...env },
    readFile: () => (typeof file === 'string' ? file : JSON.stringify(file)),
  });

function problemsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('defaults', () => {
  test('nothing given: all on loopback, embedded database, no secret in the settings', () => {
    expect(load()).toMatchObject({
      publicHost: '127.0.0.1',
      publicPort: 4444,
      adminHost: '127.0.0.1',
      adminPort: 4445,
      samplePort: 4460,
      dataDir: '.gatehouse',
      issuer: 'http://127.0.0.1:4444',
      loginUrl: 'http://127.0.0.1:4444/ui/login',
      postLogoutUrl: 'http://127.0.0.1:4444/ui/signed-out',
      idTokenAlg: 'RS256',
      accessTokenStrategy: 'opaque',
      accessTokenSeconds: 3600,
      idTokenSeconds: 3600,
      codeSeconds: 600,
      flowSeconds: 1800,
      refreshTokenSeconds: 2_592_000,
      refreshGraceSeconds: 60,
      refreshTokenScopes: ['offline_access', 'offline'],
      keyRotationDays: 90,
      workers: 1,
      rateLimits: true,
      signUp: false,
      dynamicRegistration: 'open',
      insecureHttpIssuer: false,
      insecureAdminNoAuth: false,
    });
    expect(load().adminToken).toBeUndefined();
    expect(load().databaseUrl).toBeUndefined();
    expect(load().refreshTokenAbsoluteSeconds).toBeUndefined();
  });

  test.each<[Env, object]>([
    [{ GATEHOUSE_PUBLIC_PORT: '5000' }, { issuer: 'http://127.0.0.1:5000' }],
    [
      { GATEHOUSE_ISSUER: 'https://a.example/' },
      { issuer: 'https://a.example/', loginUrl: 'https://a.example/ui/login' },
    ],
    [{ GATEHOUSE_ISSUER: 'https://a.example/x' }, { consentUrl: 'https://a.example/x/ui/consent' }],
    [{ GATEHOUSE_ISSUER: 'https://a.example' }, { dynamicRegistration: 'off' }],
    [{ GATEHOUSE_TLS_CERT: 'c', GATEHOUSE_TLS_KEY: 'k' }, { issuer: 'https://127.0.0.1:4444' }],
  ])('%j gives %j', (env, expected) => {
    expect(load(env)).toMatchObject(expected);
  });

  test('the settings cannot be changed after the start', () => {
    const config = load();
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.refreshTokenScopes)).toBe(true);
  });
});

describe('how values are written', () => {
  test.each<[string, string, string, unknown]>([
    ['ACCESS_TOKEN_SECONDS', '90', 'accessTokenSeconds', 90],
    ['ACCESS_TOKEN_SECONDS', '10m', 'accessTokenSeconds', 600],
    ['REFRESH_TOKEN_SECONDS', '30d', 'refreshTokenSeconds', 2_592_000],
    ['REFRESH_TOKEN_ABSOLUTE_SECONDS', '1w', 'refreshTokenAbsoluteSeconds', 604_800],
    ['REFRESH_TOKEN_ABSOLUTE_SECONDS', 'off', 'refreshTokenAbsoluteSeconds', undefined],
    ['REFRESH_TOKEN_ABSOLUTE_SECONDS', '0', 'refreshTokenAbsoluteSeconds', undefined],
    ['REFRESH_GRACE_SECONDS', '0', 'refreshGraceSeconds', 0],
    ['REFRESH_GRACE_SECONDS', 'off', 'refreshGraceSeconds', 0],
    ['SAMPLE_PORT', 'off', 'samplePort', undefined],
    ['SIGN_UP', 'on', 'signUp', true],
    ['RATE_LIMITS', '0', 'rateLimits', false],
    ['ID_TOKEN_ALG', 'eddsa', 'idTokenAlg', 'EdDSA'],
    [
      'CORS_ORIGINS',
      'https://a.example, https://b.example:8443',
      'corsOrigins',
      ['https://a.example', 'https://b.example:8443'],
    ],
    ['TRUSTED_PROXIES', '10.0.0.0/8,::1', 'trustedProxies', ['10.0.0.0/8', '::1/128']],
    ['DATABASE_OWNER_URL', 'postgres://o@h/d', 'ownerDatabaseUrl', 'postgres://o@h/d'],
    ['ADMIN_TOKEN', '', 'adminToken', undefined],
    ['DATABASE_URL', 'postgres://u@/d?host=/run', 'databaseUrl', 'postgres://u@/d?host=/run'],
    ['DATABASE_URL', 'postgres:///d?host=/run', 'databaseUrl', 'postgres:///d?host=/run'],
    [
      'DATABASE_URL',
      'postgres://u:%2F%@h.example:1/d',
      'databaseUrl',
      'postgres://u:%2F%@h.example:1/d',
    ],
  ])('GATEHOUSE_%s=%s', (name, value, key, expected) => {
    const env = { GATEHOUSE_DATABASE_URL: 'postgres://s@h/d', [`GATEHOUSE_${name}`]: value };
    const config: Record<string, unknown> = { ...load(env) };
    expect(config[key]).toEqual(expected);
  });

  test('the file takes numbers, booleans and lists as JSON has them', () => {
    const file = { public_port: 5000, sign_up: true, cors_origins: ['https://a.example'] };
    expect(loadWithFile(file)).toMatchObject({
      publicPort: 5000,
      signUp: true,
      corsOrigins: ['https://a.example'],
    });
  });

  test('whatever is set wins over the defaults that a command brings', () => {
    const source = { readFile: () => '{"log_level": "info"}', defaults: { logLevel: 'warn' } };
    expect(loadConfig({ ...source, env: {} }).logLevel).toBe('warn');
    expect(loadConfig({ ...source, env: { GATEHOUSE_CONFIG: 'f' } }).logLevel).toBe('info');
    expect(loadConfig({ ...source, env: { GATEHOUSE_LOG_LEVEL: 'error' } }).logLevel).toBe('error');
  });

  test('the environment wins over the file', () => {
    expect(loadWithFile({ workers: 2 }, { GATEHOUSE_WORKERS: '3' }).workers).toBe(3);
    expect(loadWithFile({ workers: 2 }, { GATEHOUSE_WORKERS: '' }).workers).toBe(2);
  });
});

describe('what stops the start', () => {
  test.each<[Env, RegExp]>([
    [
      { GATEHOUSE_PUBLIC_PRT: '1' },
      /GATEHOUSE_PUBLIC_PRT is not a setting; did you mean GATEHOUSE_PUBLIC_PORT\?/,
    ],
    [{ GATEHOUSE_QQQQQQQQ: '1' }, /is not a setting; docs\/configuration.md/],
    [{ GATEHOUSE_PUBLIC_PORT: '70000' }, /GATEHOUSE_PUBLIC_PORT must be a port.*"70000"/],
    [{ GATEHOUSE_PUBLIC_HOST: 'a b' }, /must be a host name/],
    [{ GATEHOUSE_WORKERS: '0' }, /whole number, 1 to 256/],
    [{ GATEHOUSE_CODE_SECONDS: '1 year' }, /must be a duration such as/],
    [{ GATEHOUSE_CODE_SECONDS: '2h' }, /from 1s to 1h/],
    [{ GATEHOUSE_CODE_SECONDS: 'off' }, /from 1s to 1h/],
    [{ GATEHOUSE_SIGN_UP: 'maybe' }, /must be on or off/],
    [{ GATEHOUSE_ID_TOKEN_ALG: 'HS256' }, /must be one of RS256, PS256, ES256, EdDSA/],
    [{ GATEHOUSE_CORS_ORIGINS: 'https://a.example/' }, /without path or trailing slash/],
    [{ GATEHOUSE_CORS_ORIGINS: '*' }, /must be an origin/],
    [{ GATEHOUSE_TRUSTED_PROXIES: '10.0.0.0/33' }, /IP address or a range/],
    [{ GATEHOUSE_ISSUER: 'ftp://a.example' }, /must be an http or https URL/],
    [{ GATEHOUSE_ISSUER: 'https://u:p@a.example' }, /must not carry a user name/],
    [{ GATEHOUSE_ISSUER: 'https://a.example?x=1' }, /neither query nor fragment/],
    [{ GATEHOUSE_ISSUER: 'https://a.example/#' }, /neither query nor fragment/],
    [{ GATEHOUSE_ISSUER: 'http://a.example' }, /must be https.*GATEHOUSE_INSECURE_HTTP_ISSUER/],
    [{ GATEHOUSE_LOGIN_URL: 'http://a.example/login' }, /GATEHOUSE_LOGIN_URL must be https/],
    [{ GATEHOUSE_PUBLIC_PORT: '0' }, /GATEHOUSE_ISSUER must be given/],
    [{ GATEHOUSE_ADMIN_PORT: '4444' }, /must differ/],
    [{ GATEHOUSE_TLS_CERT: 'c.pem' }, /belong together/],
    [
      { GATEHOUSE_INSECURE_ADMIN_NO_AUTH: 'on', GATEHOUSE_ADMIN_HOST: '0.0.0.0' },
      /works on loopback only/,
    ],
    [{ GATEHOUSE_DATABASE_OWNER_URL: 'postgres://o@h/d' }, /GATEHOUSE_DATABASE_URL must be given/],
    [{ GATEHOUSE_DATABASE_URL: 'postgres://u:pa/ss@h.example/d' }, /in a password write \/ as %2F/],
    [{ GATEHOUSE_DATABASE_URL: 'postgres://u:pa#ss@h.example/d' }, /, # as %23/],
    [{ GATEHOUSE_REFRESH_TOKEN_ABSOLUTE_SECONDS: '60' }, /must not be below/],
  ])('%j', (env, sentence) => {
    const problems = problemsOf(() => load(env));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(sentence);
  });

  test.each<[unknown, RegExp]>([
    ['{', /gatehouse.json is not JSON/],
    ['[]', /must hold one JSON object/],
    [{ public_prt: 1 }, /public_prt is not a setting; did you mean public_port\?/],
    [{ publicPort: 1 }, /publicPort is not a setting; did you mean public_port\?/],
    ['{"__proto__": 1}', /__proto__ is not a setting/],
    [{ workers: null }, /workers in gatehouse.json must be text, a number, true, false or a list/],
    [{ workers: {} }, /must be text, a number/],
  ])('a file with %j', (file, sentence) => {
    const problems = problemsOf(() => loadWithFile(file));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(sentence);
  });

  test('a file that cannot be read', () => {
    expect(problemsOf(() => load({ GATEHOUSE_CONFIG: 'none.json' }))).toEqual([
      'GATEHOUSE_CONFIG: none.json cannot be read.',
    ]);
  });

  test('all problems are told at once', () => {
    const env = { GATEHOUSE_WORKERS: 'x', GATEHOUSE_SIGN_UP: 'x', GATEHOUSE_NOPE: 'x' };
    expect(problemsOf(() => load(env))).toHaveLength(3);
  });

  test('security 53: the value of a secret setting is not quoted', () => {
    for (const name of [
      'GATEHOUSE_ADMIN_TOKEN',
      'GATEHOUSE_PAIRWISE_SALT',
      'GATEHOUSE_DATABASE_URL',
    ]) {
      const problems = problemsOf(() => load({ [name]: 'hunt er2' }));
      expect(problems.join()).toContain(name);
      expect(problems.join()).not.toContain('hunt');
    }
    expect(problemsOf(() => loadWithFile('{"admin_token": "hunter2')).join()).not.toContain('hunt');
  });
});

describe('what is unsafe is said at start', () => {
  test.each<[Env, RegExp | undefined]>([
    [{}, undefined],
    [{ GATEHOUSE_ISSUER: 'http://a.example', GATEHOUSE_INSECURE_HTTP_ISSUER: 'on' }, /in clear/],
    [{ GATEHOUSE_INSECURE_ADMIN_NO_AUTH: 'on' }, /every process on this machine/],
    [{ GATEHOUSE_ADMIN_HOST: '0.0.0.0' }, /admin credentials cross the network/],
    [{ GATEHOUSE_TRUSTED_PROXIES: '0.0.0.0/0' }, /claim any address/],
    [{ GATEHOUSE_RATE_LIMITS: 'off' }, /without limit/],
    [{ GATEHOUSE_ADMIN_TOKEN: 'admin-token' }, /can be guessed/],
  ])('%j', (env, sentence) => {
    const warnings = insecureWarnings(load(env));
    expect(warnings).toHaveLength(sentence === undefined ? 0 : 1);
    if (sentence !== undefined) expect(warnings[0]).toMatch(sentence);
  });
});

test.each([
  ['127.0.0.1', true],
  ['127.9.9.9', true],
  ['[::1]', true],
  ['LOCALHOST', true],
  ['app.localhost', true],
  ['0.0.0.0', false],
  ['127.0.0.1.example', false],
  ['localhost.example', false],
])('%s on loopback: %s', (host, expected) => {
  expect(isLoopbackHost(host)).toBe(expected);
});

test('names of file and environment are those of the contract, and none twice', () => {
  expect(variableName('directDatabaseUrl')).toBe('GATEHOUSE_DATABASE_DIRECT_URL');
  expect(variableName('refreshTokenAbsoluteSeconds')).toBe(
    'GATEHOUSE_REFRESH_TOKEN_ABSOLUTE_SECONDS',
  );
  expect(variableName('tlsCert')).toBe('GATEHOUSE_TLS_CERT');
  expect(fileName('extraCa')).toBe('extra_ca');
  expect(new Set(settingKeys.map(variableName)).size).toBe(settingKeys.length);
});

test('docs/configuration.md is generated from the schema and up to date', () => {
  const page = new URL('../../docs/configuration.md', import.meta.url);
  expect(readFileSync(page, 'utf8')).toBe(configurationReference());
});
