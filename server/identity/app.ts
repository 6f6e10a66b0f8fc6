import { html } from 'hono/html';
import { harmless, hostOf, initialOf, linkable, tileOf } from './display.ts';
import type { AppFields } from './handshake.ts';
import type { Markup } from './page.ts';

/** What an app is called on the pages: its name made harmless, else its id. */
export function nameOf(client: AppFields): string {
  return harmless(client.client_name) || harmless(client.client_id) || 'An app';
}

/**
 * An app as the pages show it. Logos are not loaded: an image from elsewhere would tell its server
 * who is signing in, and could change after anybody has looked at it. A letter stands for it.
 */
export function appCard(client: AppFields, badge?: Markup): Markup {
  const name = nameOf(client);
  const host = hostOf(client.client_uri);
  return html`<div class="app">
<span class="tile tile-${tileOf(client.client_id)}" aria-hidden="true">${initialOf(name)}</span>
<div><p class="name"><bdi>${name}</bdi></p>
${host === undefined ? '' : html`<p><bdi>${host}</bdi></p>`}
${badge ?? ''}</div>
</div>`;
}

/** The app's policy and terms, where it has any that can be linked. */
export function appLinks(client: AppFields): Markup | '' {
  const links = [
    ['Privacy policy', linkable(client.policy_uri)],
    ['Terms of service', linkable(client.tos_uri)],
  ] as const;
  const shown = links.flatMap(([label, address]) =>
    address === undefined
      ? []
      : [
          html`<p><a href="${address}" target="_blank" rel="noopener noreferrer">${label}<span
class="quiet"> of ${nameOf(client)} (opens in a new tab)</span></a></p>`,
        ],
  );
  return shown.length === 0 ? '' : html`<footer>${shown}</footer>`;
}
