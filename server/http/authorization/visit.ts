import type { AuthorizationRequest, VerifiedRedirect } from '#core/authorization-request.ts';
import type { Client } from '#core/client.ts';
import type { Engine } from '#server/engine.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import type { Keyring } from '#tokens/keyring.ts';

/** One request at the authorization endpoint: who asks, and with what keys it is answered. */
export interface Visit {
  readonly engine: Engine;
  readonly ring: Keyring;
  readonly cookies: ReadonlyMap<string, string>;
  readonly c: Ctx;
}

/** What is asked, by whom, and where the answer may go. */
export interface Asked {
  readonly client: Client;
  readonly redirect: VerifiedRedirect;
  readonly request: AuthorizationRequest;
  /** The `sub` of a valid id_token_hint, as the client sees it. */
  readonly hintSubject: string | undefined;
}
