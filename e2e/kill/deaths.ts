import type { Answer } from '../deployment.ts';
import { claimsOf } from '../login-app.ts';
import { type App, insisted, type Line, note } from './ledger.ts';
import { check, free, nodeOf, pickApp, type Scene, said, using } from './scene.ts';

function idsOf(line: Line): ReadonlyMap<string, string> {
  const { gh } = claimsOf(line.access.at(-1) ?? '');
  return new Map(Object.entries(Object(gh)).map(([name, id]) => [name, String(id)]));
}

/** Asks until the death of these lines is acknowledged, and tries them at once on every node. */
async function kill(
  scene: Scene,
  what: string,
  lines: readonly Line[],
  request: () => Promise<Answer>,
): Promise<void> {
  const doomed = lines.filter((line) => line.state !== 'dead');
  const { touched, pending } = scene.ledger;
  const touch = (under: 1 | -1) => {
    for (const { subject } of lines) {
      touched.set(subject, (touched.get(subject) ?? 0) + 1);
      pending.set(subject, (pending.get(subject) ?? 0) + under);
    }
  };
  touch(1);
  for (const line of doomed) line.state = 'doubt';
  const { answer, lost } = await insisted(scene.ledger, what, request);
  touch(-1);
  if (![200, 204, ...(lost > 0 ? [404] : [])].includes(answer.status)) {
    const app = lines[0]?.app;
    // An app that is being deleted cannot revoke, and need not.
    if (app?.state !== 'alive' && answer.status === 401) return;
    scene.ledger.violation(`${what} was answered ${said(answer)}`, lines[0]);
  }
  for (const line of doomed) {
    line.state = 'dead';
    note(line, `${what} acknowledged, ${lost} answers lost`);
  }
  scene.ledger.count(what);
  const some = doomed.slice(0, 5);
  await Promise.all(some.flatMap((line) => scene.nodes.map((node) => check(scene, line, node))));
}

/** Revokes something of a line, by one of the doors that there are. */
export async function revokeSome(scene: Scene): Promise<void> {
  const line = free(scene);
  if (line === undefined || line.state !== 'alive') return;
  const { dice, ledger } = scene;
  const node = nodeOf(scene);
  const { app, subject } = line;
  const ids = idsOf(line);
  const byAdmin = (body: object) => () => node.admin('POST', '/admin/revocations', body);
  const ofSubject = ledger.lines.filter((other) => other.subject === subject);
  const ofPerson = ledger.people.filter((other) => other.subject === subject);
  const kind = dice.pick(['access', 'refresh', 'subject', 'consent', 'grant', 'chain', 'session']);
  if (kind === 'access') return revokeAccess(scene, line);
  if (kind === 'subject') {
    for (const person of ofPerson) person.consent = 'doubt';
    return kill(scene, 'subject revoked', ofSubject, byAdmin({ subject }));
  }
  if (kind === 'consent') return withdraw(scene, app, subject);
  if (kind === 'refresh' || ids.size === 0) {
    return kill(scene, 'refresh token revoked', [line], () =>
      node.postAs(app.client, '/oauth2/revoke', { token: line.refresh }),
    );
  }
  const hit = kind === 'grant' ? ofSubject.filter((other) => other.app === app) : [line];
  if (kind === 'grant') for (const person of ofPerson) person.consent = 'doubt';
  return kill(scene, `${kind} revoked`, hit, byAdmin({ [kind ?? 'chain']: ids.get(kind ?? '') }));
}

async function revokeAccess(scene: Scene, line: Line): Promise<void> {
  const token = line.access.at(-1) ?? '';
  await using(line, async () => {
    line.revoked.set(token, 'doubt');
    const { answer } = await insisted(scene.ledger, 'access token revocation', () =>
      nodeOf(scene).postAs(line.app.client, '/oauth2/revoke', { token }),
    );
    if (answer.status === 200) line.revoked.set(token, 'dead');
    else if (line.app.state === 'alive')
      scene.ledger.violation(`revocation: ${said(answer)}`, line);
    note(line, `access token revoked: ${said(answer)}`);
    scene.ledger.count('access token revoked');
  });
  await Promise.all(scene.nodes.map((node) => check(scene, line, node, token)));
}

/** Takes back what a subject allowed an app. */
export async function withdraw(scene: Scene, app: App, subject: string): Promise<void> {
  const { ledger } = scene;
  const lines = ledger.lines.filter((line) => line.subject === subject && line.app === app);
  const people = ledger.people.filter((one) => one.subject === subject && one.app === app);
  const visits = people.map((person) => person.visits);
  for (const person of people) {
    person.consent = 'doubt';
    note(person, 'withdrawal asked for');
  }
  const query = `subject=${subject}&client=${app.client.id}`;
  await kill(scene, 'consent withdrawn', lines, () =>
    nodeOf(scene).admin('DELETE', `/admin/oauth2/auth/sessions/consent?${query}`),
  );
  for (const [index, person] of people.entries()) {
    // What was given while that was under way came before the withdrawal, or after it.
    const isOverlapped = person.busy || person.visits !== visits[index];
    person.consent = isOverlapped ? 'doubt' : 'withdrawn';
    note(person, `consent withdrawn: ${person.consent}`);
  }
}

/** Deletes an app, and with it everything that it was issued. */
export async function deleteApp(scene: Scene): Promise<void> {
  const { ledger } = scene;
  const app = pickApp(scene);
  if (app === undefined || ledger.apps.filter((one) => one.state === 'alive').length < 4) return;
  app.state = 'doubt';
  for (const person of ledger.people) if (person.app === app) person.consent = 'doubt';
  const path = `/admin/clients/${app.client.id}`;
  const lines = ledger.lines.filter((line) => line.app === app);
  await kill(scene, 'app deleted', lines, () => nodeOf(scene).admin('DELETE', path));
  app.state = 'dead';
  // Lines that were redeemed meanwhile hang from it too.
  for (const line of ledger.lines) if (line.app === app) line.state = 'dead';
  note(app, 'deletion acknowledged');
}
