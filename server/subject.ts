import { createHash } from 'node:crypto';
import type { Client } from '#core/client.ts';

/**
 * The `sub` that a client sees (OIDC Core §8.1): the subject itself, or for a pairwise client the
 * one the login app forced, else SHA-256 over sector, subject and the deployment's salt.
 */
export function subjectFor(
  client: Client,
  subject: string,
  forcedSubject: string,
  salt: string,
): string {
  if (client.subjectType !== 'pairwise') return subject;
  if (forcedSubject !== '') return forcedSubject;
  const sector = client.sectorIdentifier ?? client.clientId;
  return createHash('sha256')
    .update(`${sector.length}:${sector}${subject.length}:${subject}${salt}`)
    .digest('hex');
}
