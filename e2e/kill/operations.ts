import { randomUUID } from 'node:crypto';
import {
  type Answer,
  claimsOf,
  type Deployment,
  redeem,
  refresh,
  type SignedIn,
  signIn,
  tokensOf,
} from '../login-app.ts';
import type { Dice } from './dice.ts';
import {
  type App,
  asked,
  insisted,
  type Ledger,
  type Line,
  note,
  type Person,
  patienceMs,
} from './ledger.ts';

/** What the operations of one run share. */
export interface Scene {
  readonly ledger: Ledger;
  readonly dice: Dice;
  readonly nodes: readonly [Deployment, Deployment];
}

const nodeOf = ({ dice, nodes }: Scene): Deployment => dice.pick(nodes) ?? nodes[0];
const said = (answer: Answer) => `${answer.status} ${answer.body.error ?? ''}`.trim();
const free = (scene: Scene) => scene.dice.pick(scene.ledger.lines.filter((line) => !line.busy));
const pickApp = (scene: Scene) =>
  scene.dice.pick(scene.ledger.apps.filter((app) => app.state === 'alive'));

/** Keeps others off a line while work is done on it. */
async function using(line: Line, work: () => Promise<void>): Promise<void> {
  line.busy = true;
  try {
    await work();
  } finally {
    line.busy = false;
  }
}

/** Registers an app under an id and a secret that are known beforehand, so that it can be repeated. */
export async function registerApp(scene: Scene): Promise<void> {
  const { ledger, dice } = scene;
  const [id, secret] = [randomUUID(), `a secret that is long enough ${randomUUID()}`];
  const app: App = {
    client: { id, secret, method: 'client_secret_basic', redirectUri: '', document: {} },
    secrets: [secret],
    rotations: 0,
    state: 'alive',
    trace: [],
  };
  const fields = {
    client_id: id,
    client_secret: secret,
    ...(dice.chance(0.5) ? { access_token_strategy: 'jwt' } : {}),
  };
  let lost = 0;
  const until = performance.now() + patienceMs;
  for (;;) {
    try {
      app.client = await nodeOf(scene).register(fields);
      break;
    } catch (error) {
      // A lost answer leaves it registered: then it is there with what was sent.
      if (/\b409\b|taken|exists/.test(String(error)) && lost > 0) {
        const uri = 'https://app.example/callback';
        app.client = { ...app.client, redirectUri: uri };
        break;
      }
      lost += 1;
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  app.client = { ...app.client, secret };
  note(app, `registered, ${lost} answers lost`);
  ledger.count('app registered');
  ledger.apps.push(app);
}

/** The journey to a code; undefined where an outage ended it. */
async function journey(
  scene: Scene,
  app: App,
  subject: string,
  remember: boolean,
  isTouched: () => boolean,
) {
  const { ledger } = scene;
  const decisions = { login: { subject }, ...(remember ? { consent: { remember: true } } : {}) };
  let reached: SignedIn | undefined;
  try {
    reached = await signIn(nodeOf(scene), app.client, decisions);
  } catch (error) {
    const isOutage = /fetch failed|terminated|temporarily_unavailable|socket/.test(String(error));
    if (!isOutage && app.state === 'alive') ledger.violation(`sign-in: ${error}`, app);
    return undefined;
  }
  if (reached.code !== '') return reached;
  const { status, text } = reached.answer;
  const failed = reached.returned.get('error') ?? '';
  // Who is revoked on the way is denied.
  const isDenied = failed === 'access_denied' && isTouched();
  const isOutage = status === 503 || failed === 'temporarily_unavailable';
  if (!isOutage && !isDenied && app.state === 'alive') {
    ledger.violation(`sign-in ended at ${status} ${failed} ${text.slice(0, 200)}`, app);
  }
  return undefined;
}

/** Tells whether a revocation that concerns the subject has been under way since. */
function touching({ touched, pending }: Ledger, subject: string): () => boolean {
  const before = touched.get(subject);
  const wasPending = (pending.get(subject) ?? 0) > 0;
  return () => wasPending || touched.get(subject) !== before;
}

/** Signs somebody in and redeems the code, as a client does that repeats what got no answer. */
export async function logIn(scene: Scene, person?: Person): Promise<Line | undefined> {
  const { ledger, dice } = scene;
  const app = person?.app ?? pickApp(scene);
  if (app === undefined) return undefined;
  const subject = person?.subject ?? `user-${randomUUID()}`;
  const consentBefore = person?.consent;
  const isTouched = touching(ledger, subject);
  const signedIn = await journey(scene, app, subject, person !== undefined, isTouched);
  if (signedIn === undefined) return undefined;
  if (person !== undefined && consentBefore !== 'doubt' && consentBefore === person.consent) {
    const skipped = signedIn.consentRequest?.skip === true;
    const wrong = skipped !== (consentBefore === 'remembered');
    if (wrong && app.state === 'alive' && !isTouched()) {
      ledger.violation(`consent of ${subject} is ${consentBefore}, skip is ${skipped}`, person);
    }
  }
  const line = newLine(app, subject, signedIn);
  const one = () => redeem(nodeOf(scene), app.client, signedIn);
  const first = await asked(ledger, 'redemption', one);
  if (first !== undefined) return took(scene, line, [first], 0, isTouched());
  // RFC 6749 §4.1.2: it may be redeemed already, and then a repetition is a replay.
  const times = dice.chance(0.5) ? 3 : 1;
  const rest = await Promise.all(
    Array.from({ length: times }, () => insisted(ledger, 'redemption', one)),
  );
  const lost = rest.reduce((sum, { lost }) => sum + lost, 1);
  return took(
    scene,
    line,
    rest.map(({ answer }) => answer),
    lost,
    isTouched(),
  );
}

function newLine(app: App, subject: string, signedIn: SignedIn): Line {
  return {
    app,
    subject,
    code: { code: signedIn.code, verifier: signedIn.pkce.verifier },
    state: 'alive',
    access: [],
    revoked: new Map(),
    refresh: '',
    children: new Map(),
    busy: false,
    trace: [],
  };
}

/** Judges what the redemptions of one code brought; gives the line where there is one. */
function took(
  { ledger }: Scene,
  line: Line,
  answers: readonly Answer[],
  lost: number,
  touched: boolean,
): Line | undefined {
  note(line, `redeemed by ${line.app.client.id}: ${answers.map(said)}, ${lost} answers lost`);
  const wins = answers.filter(({ status }) => status === 200);
  if (wins.length > 1) ledger.violation('one code gave two chains', line);
  const [win] = wins;
  if (win === undefined) {
    if (lost === 0 && line.app.state === 'alive' && !touched) {
      ledger.violation('a code was refused', line);
    }
    ledger.count('code lost with its answer');
    return undefined;
  }
  const tokens = tokensOf(win);
  line.access.push(tokens.access);
  line.refresh = tokens.refresh;
  // Who died meanwhile, before or after this was issued, is not known.
  if (touched) line.state = 'doubt';
  // Replays revoke what the first redemption issued; a single answer after lost ones was the first.
  if (answers.length > 1) line.state = 'dead';
  if (line.app.state !== 'alive') line.state = line.app.state;
  ledger.count('code redeemed');
  ledger.lines.push(line);
  return line;
}

/** Refreshes as a client does: again and again with the same token until there is an answer. */
export async function refreshLine(scene: Scene, line: Line): Promise<void> {
  const { ledger, dice } = scene;
  const parent = line.refresh;
  const stateBefore = line.state;
  const one = () => refresh(nodeOf(scene), line.app.client, parent);
  const outcomes = await Promise.all(
    Array.from({ length: dice.chance(0.3) ? 2 : 1 }, () => insisted(ledger, 'refresh', one)),
  );
  for (const { answer, lost } of outcomes) {
    note(line, `refresh of generation ${line.children.size}: ${said(answer)}, ${lost} lost`);
    if (answer.status !== 200) {
      if (line.state === 'alive') {
        ledger.violation('a client that refreshed in the grace has no token that works', line);
      }
      continue;
    }
    if (stateBefore === 'dead') ledger.violation('a dead refresh token was accepted', line);
    const tokens = tokensOf(answer);
    const sibling = line.children.get(parent);
    if (sibling !== undefined && sibling !== tokens.refresh) {
      ledger.violation('one refresh token got two successors', line);
    }
    line.children.set(parent, tokens.refresh);
    line.access.push(tokens.access);
    line.refresh = tokens.refresh;
    ledger.count(lost > 0 ? 'refreshed after lost answers' : 'refreshed');
  }
}

export async function refreshSome(scene: Scene): Promise<void> {
  const line = free(scene);
  if (line !== undefined) await using(line, () => refreshLine(scene, line));
}

/** What a node says of the newest access token must agree with what was acknowledged. */
export async function check(
  scene: Scene,
  line: Line,
  node: Deployment,
  token: string | undefined = line.access.at(-1),
): Promise<void> {
  if (token === undefined) return;
  const stateOf = () =>
    line.state === 'alive' ? (line.revoked.get(token) ?? 'alive') : line.state;
  const before = stateOf();
  const answer = await asked(scene.ledger, 'introspection', () =>
    node.postAs(line.app.client, '/oauth2/introspect', { token }),
  );
  // Its client may be gone, which is as dead as can be.
  if (answer === undefined) return;
  const active = answer.status === 200 && answer.body.active === true;
  if (before !== stateOf() || before === 'doubt') return;
  if (active !== (before === 'alive')) {
    const where = `${node.server.publicUrl} says ${said(answer)} active: ${active}`;
    scene.ledger.violation(`an access token is acknowledged as ${before}, and ${where}`, line);
  }
}

export async function checkSome(scene: Scene): Promise<void> {
  const line = scene.dice.pick(scene.ledger.lines);
  if (line !== undefined) await check(scene, line, nodeOf(scene));
}

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

async function withdraw(scene: Scene, app: App, subject: string): Promise<void> {
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

/** Somebody who wants their consent remembered, comes again, or takes it back. */
export async function meetSomebody(scene: Scene): Promise<void> {
  const { ledger, dice } = scene;
  const app = pickApp(scene);
  if (app === undefined) return;
  const known = dice.pick(ledger.people.filter((one) => !one.busy && one.app.state === 'alive'));
  const fresh: Person = {
    subject: `person-${randomUUID()}`,
    app,
    consent: 'withdrawn',
    visits: 0,
    busy: false,
    trace: [],
  };
  const person = known !== undefined && dice.chance(0.8) ? known : fresh;
  if (person.consent === 'remembered' && dice.chance(0.3)) {
    return withdraw(scene, person.app, person.subject);
  }
  person.busy = true;
  try {
    const isTouched = touching(ledger, person.subject);
    const line = await logIn(scene, person);
    // A journey that broke may have left the consent written.
    if (isTouched()) person.consent = 'doubt';
    else if (person.consent !== 'remembered') person.consent = line ? 'remembered' : 'doubt';
    note(person, `came: ${person.consent}`);
    if (person === fresh) ledger.people.push(person);
  } finally {
    person.busy = false;
    person.visits += 1;
  }
}

/** Gives an app another secret; the ones before stay valid. */
export async function rotateSecret(scene: Scene): Promise<void> {
  const app = pickApp(scene);
  // Hydra's rotation keeps five: lost answers count too.
  if (app === undefined || app.rotations >= 4) return;
  app.rotations += 1;
  const path = `/admin/clients/${app.client.id}/secrets/rotate`;
  const answer = await asked(scene.ledger, 'rotation', () => nodeOf(scene).admin('POST', path, {}));
  note(app, `secret rotated: ${answer === undefined ? 'no answer' : said(answer)}`);
  if (answer?.status !== 200 && answer?.status !== 201) return;
  const secret = String(answer.body.client_secret);
  app.secrets.push(secret);
  app.client = { ...app.client, secret };
  scene.ledger.count('secret rotated');
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
