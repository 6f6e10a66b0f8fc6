import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { schemathesisExamples, schemathesisPath } from '../tools/schemathesis.mjs';
import {
  type Deployment,
  deploy,
  openBrowser,
  postLogoutUri,
  type RegisteredClient,
} from './deployment.ts';
import {
  authorizationParameters,
  authorizationUrl,
  connect,
  door,
  newPkce,
  signIn,
} from './login-app.ts';

const program = schemathesisPath();
const hooks = fileURLToPath(new URL('schemathesis', import.meta.url));
const secondsMax = 3_600;

/**
 * Every door of both listeners, called by the description (docs/openapi.json) with right, wrong and
 * hostile values. An answer may not be 5xx, may not have a status, type, header or shape that is not
 * described, and may not cost 100 ms of CPU.
 */
describe.skipIf(program === undefined)('the API by its description', () => {
  let deployment: Deployment;
  let client: RegisteredClient;
  let given: string;

  beforeAll(async () => {
    deployment = await deploy({ env: { GATEHOUSE_SIGN_UP: 'on' } });
    client = await deployment.register();
    given = JSON.stringify(await known(deployment, client));
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const isAdmin = '^/(admin|metrics|[.]well-known/openapi)';

  test.each([
    ['public', ['--exclude-path-regex', isAdmin]],
    ['admin', ['--include-path-regex', isAdmin]],
  ])(
    '%s: no 5xx, no hang, nothing undescribed, no answer over 100 ms of CPU',
    async (listener, selection) => {
      const { server } = deployment;
      const url = listener === 'public' ? server.publicUrl : server.adminUrl;
      const { code, output } = await run(program ?? '', given, [url, ...selection]);
      expect(code, output).toBe(0);
      // A run that called nothing proves nothing.
      expect(Number(/(\d+) generated/.exec(output)?.[1] ?? 0), output).toBeGreaterThan(100);
      const answer = await fetch(`${server.publicUrl}/health/ready`);
      expect(answer.status).toBe(200);
      expect(server.output()).not.toMatch(/"msg":"(request|page)_failed"/);
    },
    secondsMax * 1000,
  );
});

/** Real values by the names of parameters, so that some requests get past the first check. */
async function known(deployment: Deployment, client: RegisteredClient): Promise<object> {
  const { server } = deployment;
  const victims: string[] = [];
  for (let count = 0; count < 20; count += 1) victims.push((await deployment.register()).id);
  const caller = await connect(deployment, client, { login: { subject: 'bob' } });
  const browser = openBrowser();
  const remembered = { login: { remember: true }, consent: { remember: true } };
  const connected = await connect(deployment, client, { browser, ...remembered });
  const waiting = await signIn(deployment, client, remembered);
  const begun = await openBrowser().get(
    authorizationUrl(deployment, authorizationParameters(client, newPkce())),
  );
  const loginChallenge = parameterOf(begun.headers.get('location'), 'login_challenge');
  const halfWay = openBrowser();
  const started = await halfWay.get(
    authorizationUrl(deployment, authorizationParameters(client, newPkce())),
  );
  const challenge = parameterOf(started.headers.get('location'), 'login_challenge');
  const accepted = await deployment.admin('PUT', door('login', challenge, 'accept'), {
    subject: 'alice',
  });
  const asked = await halfWay.get(String(accepted.body.redirect_to));
  const leaving = await browser.get(`${server.publicUrl}/oauth2/sessions/logout`);
  const listed = await deployment.admin('GET', '/admin/oauth2/auth/sessions/consent?subject=alice');
  const grants = listed.list.map((one) => String(one.grant_id));
  return {
    pid: server.pid,
    adminToken: server.adminToken,
    client: { id: client.id, secret: client.secret },
    accessToken: caller.access,
    values: {
      client_id: [client.id],
      id: [...victims, ...grants],
      set: ['hydra.openid.id-token', 'hydra.jwt.access-token', 'my-set'],
      redirect_uri: [client.redirectUri],
      post_logout_redirect_uri: [postLogoutUri],
      id_token_hint: [connected.id],
      login_challenge: [loginChallenge],
      consent_challenge: [parameterOf(asked.headers.get('location'), 'consent_challenge')],
      logout_challenge: [parameterOf(leaving.headers.get('location'), 'logout_challenge')],
      token: [connected.access, connected.refresh],
      refresh_token: [connected.refresh],
      code: [waiting.code],
      code_verifier: [waiting.pkce.verifier],
      grant: grants,
      subject: ['alice'],
      scope: ['openid', 'openid offline_access'],
      response_type: ['code'],
      state: ['state'],
    },
  };
}

function parameterOf(location: string | null, name: string): string {
  const value = location === null ? null : new URL(location).searchParams.get(name);
  if (value === null) throw new Error(`no ${name} in ${location}`);
  return value;
}

async function run(program: string, given: string, args: readonly string[]) {
  const [url = '', ...selection] = args;
  const options = [
    'run',
    fileURLToPath(new URL('../docs/openapi.json', import.meta.url)),
    `--url=${url}`,
    ...selection,
    '--phases=examples,coverage,fuzzing',
    `--max-examples=${schemathesisExamples}`,
    '--seed=20261122',
    '--checks=all',
    '--exclude-checks=positive_data_acceptance,negative_data_rejection,unsupported_method',
    '--max-redirects=0',
    '--request-timeout=20',
    '--suppress-health-check=all',
    '--generation-database=none',
    '--continue-on-failure',
    '--no-color',
  ];
  const scratch = await mkdtemp(join(tmpdir(), 'gatehouse-schemathesis-'));
  const child = spawn(program, options, {
    // It leaves what it has learnt where it stands.
    cwd: scratch,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: '/usr/bin:/bin',
      LANG: 'C.UTF-8',
      PYTHONPATH: hooks,
      PYTHONDONTWRITEBYTECODE: '1',
      SCHEMATHESIS_HOOKS: 'hooks',
      GATEHOUSE_FUZZ: given,
    },
  });
  const written: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => written.push(text));
  }
  const [code] = await once(child, 'close');
  await rm(scratch, { recursive: true });
  return { code, output: written.join('') };
}
