import { clientIdCharsMax } from '#core/client-field.ts';
import { isRefusal, type Refusal, refusals } from '#core/refusal.ts';
import { anonymous } from '#server/audit/entry.ts';
import type { Engine } from '#server/engine.ts';
import { type LimitedEndpoint, slowSecretsBusy } from '#server/operation/rate-limits.ts';
import type { Keyring } from '#tokens/keyring.ts';
import { slowChecksPerClientMax } from '#tokens/secret.ts';
import {
  type AuthenticatedClient,
  basicClientId,
  clientRefusalAnswer,
  presentedClient,
  provenClient,
} from './client-authentication.ts';
import { type Ctx, requestHeader } from './frame/answer.ts';
import type { Form } from './frame/body.ts';
import { permitOrigin } from './frame/cors.ts';
import { limitedAnswer, slowedAnswer } from './frame/limits.ts';
import { trailOf } from './frame/trail.ts';

/**
 * The client that calls the token, revocation or introspection endpoint, or the answer it gets
 * instead: too many requests, too many wrong secrets from this address, or not who it says it is.
 */
export async function authenticateCaller(
  engine: Engine,
  c: Ctx,
  ring: Keyring,
  form: Form,
  endpoint: LimitedEndpoint,
): Promise<AuthenticatedClient | Response> {
  const authorization = requestHeader(c, 'authorization');
  const { rateLimits } = engine;
  const claimed =
    rateLimits === undefined ? '' : (form.get('client_id') ?? basicClientId(authorization) ?? '');
  const address = c.get('address');
  const slowed = rateLimits?.take(endpoint, address, claimed);
  if (slowed !== undefined) return slowedAnswer(engine, c, endpoint, slowed);
  const presented = await presentedClient(engine, authorization, form);
  // Also where it is refused: its app's page may read why, which anybody else could ask.
  if (!isRefusal(presented)) permitOrigin(c, engine.config, presented.found?.client);
  const guess = rateLimits?.guess(address, claimed);
  if (guess !== undefined && 'headers' in guess) {
    tell(engine, c, 'client.guess_slowed', claimed, 'rate_limited');
    return limitedAnswer(engine, endpoint, guess);
  }
  const proven = isRefusal(presented) ? presented : provenClient(engine, ring, presented);
  const caller = proven instanceof Promise ? await proven : proven;
  const wrong = isRefusal(caller) && isGuess(caller);
  if (!wrong) guess?.takeBack();
  if (isRefusal(caller)) {
    if (wrong) {
      const named = form.get('client_id') ?? basicClientId(authorization) ?? '';
      tell(engine, c, 'client.guess', named, caller.refused);
    }
    if (caller.refused === 'rate_limited') {
      return limitedAnswer(engine, endpoint, slowSecretsBusy(slowChecksPerClientMax));
    }
    engine.metrics.refused(endpoint, caller.refused);
    return clientRefusalAnswer(caller);
  }
  return caller;
}

/**
 * A secret that may be wrong. `wrong_auth_method` and `client_disabled` are said only where it was
 * right, or where there was none to guess at; counted, they would shut out an app that tries Basic
 * first, and its neighbours. A wrong secret by the wrong method is an `unknown_client`.
 */
function isGuess({ refused }: Refusal): boolean {
  const { status } = refusals[refused];
  return status === 401 && refused !== 'wrong_auth_method' && refused !== 'client_disabled';
}

/** Anybody can claim any client's id, so the entry names it as the target, not as who asks. */
function tell(
  engine: Engine,
  c: Ctx,
  action: 'client.guess' | 'client.guess_slowed',
  claimed: string,
  reason: string,
): void {
  const target = { kind: 'client', id: claimed.slice(0, clientIdCharsMax) };
  engine.audit.count({ ...trailOf(c, action, anonymous), target, reason });
}
