import { randomUUID } from 'node:crypto';
import {
  acceptConsent,
  acceptLogin,
  beginFlow,
  redeemCode,
  replayVerifier,
  requestLogin,
  visitConsent,
  visitLogin,
} from './flows.ts';
import * as killers from './killers.ts';
import type { Kind, Operation } from './operation.ts';
import {
  type Action,
  at,
  type Flow,
  nameOf,
  openScene,
  otherNode,
  type Scene,
  Violation,
} from './scene.ts';
import { storm } from './storm.ts';
import { checkAll, clientCredentials, refreshChain, reuse } from './tokens.ts';

/** How far a login goes before something else may happen. */
const stops = ['over', 'over', 'over', 'code', 'consent_verifier', 'login_verifier'] as const;
const keyRotationsMax = 12;

/** What sequences share: the nodes, and how often keys were made anew. */
export interface Stage {
  readonly nodes: Scene['nodes'];
  /** How often each kind of operation was run. */
  readonly ran: Map<string, number>;
}

/**
 * Runs one sequence on people and apps of its own; after each step the other node is asked after
 * all that there is. Throws a Violation that tells the sequence.
 */
export async function runSequence(stage: Stage, operations: readonly Operation[]): Promise<void> {
  const scene = await openScene(stage.nodes);
  try {
    for (const operation of operations) await step(stage, scene, operation);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    throw new Violation([...scene.trace, `  => ${error.message}`].join('\n'));
  }
}

async function step(stage: Stage, scene: Scene, operation: Operation): Promise<void> {
  const { kind, node } = operation;
  const note = (what: string) => stage.ran.set(what, (stage.ran.get(what) ?? 0) + 1);
  if (kind === 'race') {
    const nodes = await race(scene, operation);
    if (nodes.length > 0) note(`race with ${operation.rival}`);
    for (const one of nodes) await checkAll(scene, one);
    return;
  }
  if (kind === 'storm') {
    if (await storm(scene, operation)) note(kind);
    return;
  }
  const composed = composedOf[kind];
  if (composed !== undefined) {
    if (!(await composed(scene, operation))) return;
    note(kind);
  } else if (kind === 'authorize') {
    const flow = beginFlow(scene, operation);
    note(kind);
    await proceed(scene, flow, operation, at(stops, operation.choice + operation.pick) ?? 'over');
  } else if (kind === 'advance') {
    const flow = at(underWay(scene), operation.pick);
    if (flow === undefined) return;
    note(kind);
    await proceed(scene, flow, operation, 'over');
  } else {
    const action = await choose(stage, scene, kind, operation);
    if (action === undefined && kind !== 'list_consents') return;
    note(kind);
    if (action === undefined) return;
    scene.trace.push(`  ${nameOf(node)}: ${action.text}`);
    (await action.run(node)).settle(undefined);
  }
  await checkAll(scene, otherNode(node));
}

const undoings = ['revoke_subject', 'revoke_client', 'revoke_grant', 'narrow'] as const;

/** Something is revoked, and at once, at the other node, allowed again: that must live. */
async function again(scene: Scene, operation: Operation): Promise<boolean> {
  const { node, pick, choice } = operation;
  const action = await killer(scene, at(undoings, choice) ?? 'narrow', operation);
  if (action === undefined) return false;
  scene.trace.push(`  ${nameOf(node)}: ${action.text}, and at once`);
  (await action.run(node)).settle(undefined);
  const flow = beginFlow(scene, { ...operation, pick, choice });
  await proceed(scene, flow, { ...operation, node: otherNode(node) }, 'over');
  return true;
}

/** What may change one row in two ways comes oftener. */
const crowding = [
  'revoke_session',
  'sign_out',
  'revoke_session',
  'sign_out',
  'revoke_grant',
  'revoke_consents',
  'narrow',
  'revoke_subject',
  'revoke_client',
  'revoke_refresh_token',
] as const;

/** Two killers at the same moment at one node, which writes what comes at once in one statement: neither may be lost. */
async function crowd(scene: Scene, operation: Operation): Promise<boolean> {
  const { node, pick, choice, rivalPick } = operation;
  const kinds = [at(crowding, choice) ?? 'sign_out', at(crowding, rivalPick) ?? 'narrow'] as const;
  const first = await killer(scene, kinds[0], { node, pick, choice: rivalPick });
  const second = await killer(scene, kinds[1], { node, pick, choice });
  if (first === undefined || second === undefined) return false;
  scene.trace.push(`  ${nameOf(node)}: ${first.text}   at the same time as`);
  scene.trace.push(`  ${nameOf(node)}: ${second.text}`);
  // What comes while a statement is in flight makes up the next one.
  const inFlight = Array.from({ length: 6 }, () =>
    scene.nodes[node].admin('POST', '/admin/revocations', { chain: randomUUID() }),
  );
  const [one, other] = await Promise.all([first.run(node), second.run(node), ...inFlight]);
  one.settle(kinds[1]);
  other.settle(kinds[0]);
  return true;
}

const overtaking = [
  'revoke_consents',
  'revoke_consents',
  'sign_out',
  'revoke_session',
  'revoke_subject',
  'revoke_client',
  'revoke_grant',
  'narrow',
] as const;
const onTheWay = ['login_verifier', 'consent_verifier', 'code'] as const;

/** Something is revoked, at one node, while a login of that person is on its way; then it goes on. */
async function overtake(scene: Scene, operation: Operation): Promise<boolean> {
  const { node, pick, choice, rivalPick } = operation;
  const flow = beginFlow(scene, operation);
  await proceed(scene, flow, operation, at(onTheWay, rivalPick) ?? 'code');
  const kind = at(overtaking, rivalPick) ?? 'sign_out';
  const action = await killer(scene, kind, { node, pick, choice });
  if (action !== undefined) {
    scene.trace.push(`  ${nameOf(node)}: ${action.text}`);
    (await action.run(node)).settle(undefined);
  }
  await proceed(scene, flow, operation, 'over');
  return true;
}

const composedOf: Readonly<Partial<Record<Kind, typeof crowd>>> = { again, crowd, overtake };

const underWay = (scene: Scene): readonly Flow[] =>
  scene.flows.filter((flow) => flow.stage !== 'over');

/** Takes a login from where it is to `stop`, hop by hop, at the nodes in turn. */
async function proceed(
  scene: Scene,
  flow: Flow,
  { node }: Operation,
  stop: Flow['stage'],
): Promise<void> {
  const person = scene.people.findIndex((one) => one.person === flow.person);
  const what = `person ${person}, app ${flow.app.index}, "${[...flow.scope].join(' ')}"`;
  const begun = flow.next === '';
  scene.trace.push(
    `  ${nameOf(node)}: ${flow.name} (${what}) from ${begun ? 'the start' : flow.stage} to ${stop}`,
  );
  let hop = node;
  if (begun) await requestLogin(scene, flow, hop);
  while (flow.stage !== 'over' && flow.stage !== stop) {
    hop = otherNode(hop);
    if (flow.stage === 'login') await acceptLogin(scene, flow, hop);
    else if (flow.stage === 'consent') await acceptConsent(scene, flow, hop);
    else (await hopOf(scene, flow).run(hop)).settle(undefined);
  }
}

/** The next hop of a login that is one request and takes no `born`. */
function hopOf(scene: Scene, flow: Flow): Action {
  if (flow.stage === 'login_verifier') return visitLogin(scene, flow);
  if (flow.stage === 'consent_verifier') return visitConsent(scene, flow);
  return redeemCode(scene, flow, flow.next);
}

type Choice = Pick<Operation, 'pick' | 'choice' | 'node'>;

async function choose(
  stage: Stage,
  scene: Scene,
  kind: Kind,
  operation: Operation,
): Promise<Action | undefined> {
  switch (kind) {
    case 'refresh':
      return refreshChain(scene, operation);
    case 'reuse':
      return reuse(scene, operation);
    case 'client_credentials':
      return clientCredentials(scene, operation);
    case 'replay_code': {
      const flow = at(
        scene.flows.filter((one) => one.codes.length > 0),
        operation.pick,
      );
      const code = flow === undefined ? undefined : at(flow.codes, operation.choice);
      return flow && code !== undefined ? redeemCode(scene, flow, code) : undefined;
    }
    case 'replay_verifier': {
      const flow = at(
        scene.flows.filter((one) => one.spentVerifiers.length > 0),
        operation.pick,
      );
      return flow && replayVerifier(scene, flow, operation.choice);
    }
    case 'list_consents':
      return killers.listConsents(scene, operation);
    case 'recreate_client':
      return killers.recreateClient(scene, operation);
    case 'lifespan':
      return killers.setLifespan(scene, operation);
    case 'rotate_keys':
      return (stage.ran.get(kind) ?? 0) < keyRotationsMax ? killers.rotateKeys(scene) : undefined;
    default:
      return killer(scene, kind, operation);
  }
}

async function killer(scene: Scene, kind: Kind, choice: Choice): Promise<Action | undefined> {
  switch (kind) {
    case 'revoke_access_token':
      return killers.revokeAccessToken(scene, choice);
    case 'revoke_refresh_token':
      return killers.revokeRefreshToken(scene, choice);
    case 'revoke_grant':
      return killers.revokeGrant(scene, choice);
    case 'revoke_consents':
      return killers.revokeConsents(scene, choice);
    case 'revoke_session':
      return killers.revokeSession(scene, choice);
    case 'revoke_subject':
      return killers.revokeSubject(scene, choice);
    case 'revoke_client':
      return killers.revokeClient(scene, choice);
    case 'sign_out':
      return killers.signOut(scene, choice);
    case 'narrow':
      return killers.narrow(scene, choice);
    case 'delete_client':
      return killers.deleteClient(scene, choice);
    default:
      return undefined;
  }
}

/**
 * Two operations at the same moment, at different nodes: something that makes, against what may kill
 * it or against itself. What succeeded in making came before what killed it, so that is the order in
 * which the model is told; then both nodes are asked.
 */
async function race(scene: Scene, operation: Operation): Promise<readonly (0 | 1)[]> {
  const { node, rival, rivalPick } = operation;
  const first = maker(scene, operation);
  const twin = rival === 'refresh' || rival === 'advance';
  const against = { ...operation, pick: rivalPick };
  const second = twin ? first : await killer(scene, rival, against);
  const left = first ?? (await killer(scene, 'revoke_refresh_token', operation));
  if (left === undefined || second === undefined) return [];
  const other = otherNode(node);
  scene.trace.push(`  ${nameOf(node)}: ${left.text}   at the same time as`);
  scene.trace.push(`  ${nameOf(other)}: ${second.text}`);
  const ran = await Promise.all([
    left.run(node).then((outcome) => ({ ...outcome, kills: left.kills, rival })),
    second.run(other).then((outcome) => ({ ...outcome, kills: second.kills, rival })),
  ]);
  const rank = (one: (typeof ran)[number]) => (one.kills ? 1 : one.succeeded ? 0 : 2);
  for (const outcome of [...ran].sort((a, b) => rank(a) - rank(b))) outcome.settle(rival);
  return [0, 1];
}

/** A refresh, or the next hop of a login. */
function maker(scene: Scene, operation: Operation): Action | undefined {
  const hops = underWay(scene).filter(({ stage }) => stage !== 'login' && stage !== 'consent');
  const flow = at(hops, operation.pick);
  if (flow !== undefined && operation.choice % 2 === 0) return hopOf(scene, flow);
  return refreshChain(scene, { pick: operation.pick, choice: 2 });
}
