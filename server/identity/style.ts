import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** The one style sheet of the pages: small, so it travels with the page and costs no request. */
export const style = readFileSync(new URL('style.css', import.meta.url), 'utf8').replace(
  /\s+/g,
  ' ',
);

/** What the Content-Security-Policy says of {@link style}. */
export const styleHash = `'sha256-${createHash('sha256').update(style).digest('base64')}'`;
