import { isRefusal, type Refusal, refuse } from '#core/refusal.ts';
import { baseUrl } from '#server/config/config.ts';
import { openFlow, sealFlow } from '#server/http/authorization/flow.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import type { Node } from '#server/node.ts';
import type { Flow } from '#tokens/flow.ts';
import type { Keyring } from '#tokens/keyring.ts';

/** The challenge of a request, to be opened with the ring, by a node that knows of every revocation. */
export async function readChallenge(
  node: Node,
  c: Ctx,
  name: 'login_challenge' | 'consent_challenge' | 'logout_challenge',
): Promise<{ readonly challenge: string; readonly ring: Keyring } | Refusal> {
  await node.feed.fresh();
  const challenge = c.req.query(name) ?? '';
  if (challenge === '') return refuse('missing_parameter', `${name} is missing.`);
  return { challenge, ring: node.keys.current() };
}

/** The flow that the challenge of a request seals. */
export async function openChallenge(
  node: Node,
  c: Ctx,
  name: 'login_challenge' | 'consent_challenge',
) {
  const read = await readChallenge(node, c, name);
  if (isRefusal(read)) return read;
  const flow = await openFlow(node, read.ring, name, read.challenge);
  return isRefusal(flow) ? flow : { flow, ...read };
}

/** Where the browser goes next, with the verifier that continues the flow. */
export async function goOn(
  node: Node,
  ring: Keyring,
  name: 'login_verifier' | 'consent_verifier',
  decided: Flow,
): Promise<{ readonly redirect_to: string }> {
  const verifier = await sealFlow(node, ring, name, decided);
  return { redirect_to: `${baseUrl(node.config)}/oauth2/auth?${name}=${verifier}` };
}
