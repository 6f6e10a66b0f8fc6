import { randomUUID } from 'node:crypto';
import type { Answer } from '../deployment.ts';
import { redeem, refresh, type SignedIn, signIn, tokensOf } from '../login-app.ts';
import { withdraw } from './deaths.ts';
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
import { free, nodeOf, pickApp, type Scene, said, using } from './scene.ts';

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
