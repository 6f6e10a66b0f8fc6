import { tokensOf } from '../login-app.ts';
import type { Operation } from './operation.ts';
import { answered, at, clientOf, nameOf, type Scene, Violation } from './scene.ts';

/** Facts that both nodes write at one moment: their numbers and their commits may cross. */
const tokensAtOnce = 8;

/**
 * Many tokens of one app are revoked at the same moment, half of them at each node. A fact that is
 * numbered before another and seen after it would be missed by whoever polled in between, for good.
 */
export async function storm(scene: Scene, { pick }: Operation): Promise<boolean> {
  const app = at(
    scene.apps.filter((one) => one.app.present),
    pick,
  )?.app;
  if (app === undefined) return false;
  const client = clientOf(scene, app);
  const form = { grant_type: 'client_credentials', scope: 'api.read' };
  const tokens = await Promise.all(
    Array.from({ length: tokensAtOnce }, async (_, index) => {
      const asked = await nodeFor(scene, index).postAs(client, '/oauth2/token', form);
      return tokensOf(answered(asked, 'client credentials')).access;
    }),
  );
  scene.trace.push(`  A and B: revoke ${tokensAtOnce} tokens of app ${app.index} at the same time`);
  const answers = await Promise.all(
    tokens.map((token, index) =>
      nodeFor(scene, index).admin('POST', '/admin/revocations', { token }),
    ),
  );
  const refused = answers.find((answer) => answered(answer, 'a revocation').status !== 200);
  if (refused !== undefined) throw new Violation(`a token was not revoked: ${refused.text}`);
  await Promise.all(
    scene.nodes.flatMap((node, which) =>
      tokens.map(async (token, index) => {
        if ((await node.introspect(token)).active !== true) return;
        const where = nameOf(which === 0 ? 0 : 1);
        throw new Violation(`token ${index} of ${tokensAtOnce} at ${where} is active`);
      }),
    ),
  );
  return true;
}

function nodeFor(scene: Scene, index: number) {
  return scene.nodes[index % 2 === 0 ? 0 : 1];
}
