import type { Client } from '#core/client.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import type { Form } from '#server/http/frame/body.ts';
import type { Keyring } from '#tokens/keyring.ts';

/** A token request whose client is who it says it is. */
export interface TokenRequest {
  readonly c: Ctx;
  readonly ring: Keyring;
  readonly form: Form;
  readonly client: Client;
  /** The newest fact known before the client was authenticated. */
  readonly born: number;
}
