import { type Refusal, refuse } from '#core/refusal.ts';

/**
 * The audience of one access token (RFC 8707 §2.2): all that was granted, or the resources that
 * this request names, which must be among the granted ones (`resource_invalid`).
 */
export function narrowAudience(
  asked: readonly string[],
  granted: { readonly audience: readonly string[]; readonly resource: readonly string[] },
): readonly string[] | Refusal {
  if (asked.length === 0) return [...granted.audience, ...granted.resource];
  const stranger = asked.find((resource) => !granted.resource.includes(resource));
  if (stranger !== undefined) {
    return refuse('resource_invalid', `The resource "${stranger}" was not granted.`);
  }
  return [...new Set(asked)];
}
