import type { Client } from './client.ts';
import { type Refusal, refuse } from './refusal.ts';

/** Resource indicators that one request may name. */
export const resourceCountMax = 20;
const resourceCharsMax = 512;

/**
 * The resources asked for (RFC 8707 §2): absolute URIs without a fragment that the client may ask
 * for. Refuses with `resource_invalid` (`invalid_target`).
 */
export function parseResources(
  client: Client,
  given: readonly string[],
): readonly string[] | Refusal {
  if (given.length === 0) return [];
  const resources = [...new Set(given)];
  if (resources.length > resourceCountMax) {
    return refuse('resource_invalid', `More than ${resourceCountMax} resources are named.`);
  }
  for (const resource of resources) {
    if (!validResource(resource)) {
      return refuse('resource_invalid', 'A resource must be an absolute URI without a fragment.');
    }
    if (client.resources.length > 0 && !client.resources.includes(resource)) {
      return refuse('resource_invalid', `The app may not ask for the resource "${resource}".`);
    }
  }
  return resources;
}

/** An absolute URI without fragment, printable ASCII, bounded (RFC 8707 §2). */
export function validResource(resource: string): boolean {
  if (resource.length > resourceCharsMax || resource.includes('#')) return false;
  for (let i = 0; i < resource.length; i++) {
    const code = resource.charCodeAt(i);
    if (code <= 0x20 || code > 0x7e) return false;
  }
  return /^[A-Za-z][A-Za-z0-9+.-]{0,30}:[^\s]/.test(resource);
}
