import type { Client } from '#core/client.ts';
import { type Refusal, refuse } from '#core/refusal.ts';

/**
 * The audience of one access token (RFC 8707 §2.2): all that was granted and that the client may
 * still ask for, or what of its resources this request names; others are refused
 * (`resource_invalid`).
 */
export function narrowAudience(
  client: Client,
  asked: readonly string[],
  granted: { readonly audience: readonly string[]; readonly resource: readonly string[] },
): readonly string[] | Refusal {
  const { resources } = client;
  const allowed = granted.resource.filter(
    (one) => resources.length === 0 || resources.includes(one),
  );
  if (asked.length === 0) {
    return [...granted.audience.filter((one) => client.audience.includes(one)), ...allowed];
  }
  const stranger = asked.find((resource) => !allowed.includes(resource));
  if (stranger !== undefined) {
    return refuse('resource_invalid', `The resource "${stranger}" was not granted.`);
  }
  return [...new Set(asked)];
}
