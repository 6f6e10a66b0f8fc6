import type { Answer, Deployment } from '../deployment.ts';
import type { Dice } from './dice.ts';
import { asked, type Ledger, type Line } from './ledger.ts';

/** What the operations of one run share. */
export interface Scene {
  readonly ledger: Ledger;
  readonly dice: Dice;
  readonly nodes: readonly [Deployment, Deployment];
}

export const nodeOf = ({ dice, nodes }: Scene): Deployment => dice.pick(nodes) ?? nodes[0];
export const said = (answer: Answer) => `${answer.status} ${answer.body.error ?? ''}`.trim();
export const free = (scene: Scene) =>
  scene.dice.pick(scene.ledger.lines.filter((line) => !line.busy));
export const pickApp = (scene: Scene) =>
  scene.dice.pick(scene.ledger.apps.filter((app) => app.state === 'alive'));

/** Keeps others off a line while work is done on it. */
export async function using(line: Line, work: () => Promise<void>): Promise<void> {
  line.busy = true;
  try {
    await work();
  } finally {
    line.busy = false;
  }
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
