import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Deployment, deploy, type RegisteredClient } from './deployment.ts';
import { connect, halfway, newPkce, redeem, signIn, tokensOf } from './login-app.ts';

let deployment: Deployment;
let app: RegisteredClient;
let otherApp: RegisteredClient;

beforeAll(async () => {
  deployment = await deploy();
  app = await deployment.register();
  otherApp = await deployment.register();
});
afterAll(() => deployment?.close());

const someone = () => `person-${newPkce().verifier}`;
const active = async (token: string) => (await deployment.introspect(token)).active;

const loginAccepted = (client: RegisteredClient, subject: string) =>
  halfway(deployment, client, 'login', { subject, remember: true });
const consentAccepted = (client: RegisteredClient, subject: string) =>
  halfway(deployment, client, 'consent', { subject, remember: true });

function challengeOf(answer: Answer, kind: 'login' | 'consent'): string {
  const location = new URL(answer.headers.get('location') ?? 'none:');
  return location.searchParams.get(`${kind}_challenge`) ?? '';
}

function returned(answer: Answer, name: string): string | null {
  return new URL(answer.headers.get('location') ?? 'none:').searchParams.get(name);
}

const consents = '/admin/oauth2/auth/sessions/consent';
const logins = '/admin/oauth2/auth/sessions/login';
const remove = async (path: string) => {
  const answer = await deployment.admin('DELETE', path);
  expect(answer.status, answer.text).toBe(204);
};
const revoke = async (body: Readonly<Record<string, string>>) => {
  const answer = await deployment.admin('POST', '/admin/revocations', body);
  expect(answer.status, answer.text).toBe(200);
};
const grantsOf = async (subject: string) =>
  (await deployment.admin('GET', `${consents}?subject=${subject}`)).list;

type Withdrawal = (subject: string, flowId: string) => Promise<void>;
const withdrawals: readonly (readonly [string, Withdrawal])[] = [
  ['of one app', (subject) => remove(`${consents}?subject=${subject}&client=${app.id}`)],
  ['of all apps', (subject) => remove(`${consents}?subject=${subject}&all=true`)],
  ['by consent_request_id', (_, id) => remove(`${consents}?consent_request_id=${id}`)],
];

describe.each(withdrawals)('a consent withdrawn, %s', (_name, withdraw) => {
  test('what was accepted before is not given afterwards, and asking anew is', async () => {
    const subject = someone();
    const halfway = await consentAccepted(app, subject);
    await withdraw(subject, halfway.flowId);
    const late = await halfway.go();
    expect(returned(late, 'error'), late.text).toBe('access_denied');
    expect(returned(late, 'code')).toBeNull();
    expect(await grantsOf(subject)).toEqual([]);
    const again = await connect(deployment, app, { login: { subject }, browser: halfway.browser });
    expect(await active(again.access)).toBe(true);
  });

  test('the same where a grant was withdrawn before the consent', async () => {
    const subject = someone();
    await connect(deployment, app, { login: { subject } });
    await remove(`${consents}?subject=${subject}&client=${app.id}`);
    const halfway = await consentAccepted(app, subject);
    await withdraw(subject, halfway.flowId);
    expect(returned(await halfway.go(), 'error')).toBe('access_denied');
    expect(await grantsOf(subject)).toEqual([]);
  });

  test('in a race with the browser that comes back: nothing lives when both have ended', async () => {
    for (let round = 0; round < 12; round += 1) {
      const subject = someone();
      const halfway = await consentAccepted(app, subject);
      const [came] = await Promise.all([halfway.go(), withdraw(subject, halfway.flowId)]);
      expect(await grantsOf(subject)).toEqual([]);
      const code = returned(came, 'code');
      if (code === null) continue;
      const answer = await redeem(deployment, app, { code, pkce: halfway.pkce });
      expect(answer.body.error).toBe('invalid_grant');
    }
  });

  test('consents of others, and of other flows, are given', async () => {
    const subject = someone();
    const bystander = await consentAccepted(app, someone());
    const otherFlow = await consentAccepted(otherApp, subject);
    const halfway = await consentAccepted(app, subject);
    await withdraw(subject, halfway.flowId);
    expect(returned(await bystander.go(), 'code')).not.toBeNull();
    const all = _name === 'of all apps';
    expect(returned(await otherFlow.go(), 'code') === null).toBe(all);
  });
});

test('a consent withdrawn by its id: its tokens die, also where a later one was added', async () => {
  const subject = someone();
  const first = await connect(deployment, app, { login: { subject } });
  const second = await connect(deployment, app, { login: { subject } });
  await remove(`${consents}?consent_request_id=${first.consentRequest?.consent_request_id}`);
  expect(await active(first.access)).toBe(false);
  expect(await active(second.access)).toBe(true);
});

test('a chain revoked before its code was redeemed: the code is dead', async () => {
  const signedIn = await signIn(deployment, app, { login: { subject: someone() } });
  await revoke({ chain: String(signedIn.consentRequest?.consent_request_id) });
  const answer = await redeem(deployment, app, signedIn);
  expect(answer.body.error).toBe('invalid_grant');
});

const signOuts: readonly (readonly [string, Withdrawal])[] = [
  ['signed out by sid', (_, id) => remove(`${logins}?sid=${id}`)],
  ['signed out by subject', (subject) => remove(`${logins}?subject=${subject}`)],
  ['revoked by id', (_, id) => revoke({ session: id })],
];

describe.each(signOuts)('a login %s', (_name, signOut) => {
  test('what was accepted before begins no session, and signing in anew does', async () => {
    const subject = someone();
    const [halfway, bystander] = [
      await loginAccepted(app, subject),
      await loginAccepted(app, someone()),
    ];
    await signOut(subject, halfway.flowId);
    const late = await halfway.go();
    expect(challengeOf(late, 'consent')).toBe('');
    expect(returned(late, 'error'), late.text).toBe('login_required');
    expect(challengeOf(await bystander.go(), 'consent')).not.toBe('');
    const again = await signIn(deployment, app, { login: { subject }, browser: halfway.browser });
    expect(again.loginRequest?.skip).toBe(false);
    expect(tokensOf(await redeem(deployment, app, again)).access).not.toBe('');
  });

  test('in a race with the browser that comes back: no session lives', async () => {
    for (let round = 0; round < 12; round += 1) {
      const subject = someone();
      const halfway = await loginAccepted(app, subject);
      await Promise.all([halfway.go(), signOut(subject, halfway.flowId)]);
      const sessions = await deployment.admin('GET', `/admin/sessions?subject=${subject}`);
      expect(sessions.list.filter((one) => one.state === 'live')).toEqual([]);
    }
  });
});

test('a withdrawal or sign-out of somebody who is not there leaves nothing that stays', async () => {
  const rows = async () =>
    (await deployment.admin('GET', `/admin/grants?subject=${stranger}`)).list.length;
  const stranger = someone();
  await remove(`${consents}?subject=${stranger}&client=${app.id}`);
  await remove(`${consents}?subject=${stranger}&all=true`);
  expect(await rows()).toBe(0);
  const halfway = await consentAccepted(app, stranger);
  await remove(`${consents}?subject=${stranger}&client=nobody`);
  expect(await rows()).toBe(0);
  expect(returned(await halfway.go(), 'code')).not.toBeNull();
  const tooLong = 'x'.repeat(300);
  await remove(`${consents}?subject=${tooLong}&client=${tooLong}`);
  await remove(`${consents}?subject=${tooLong}&all=true`);
  await remove(`${logins}?subject=${tooLong}`);
});
