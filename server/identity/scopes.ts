/** What a scope lets an app do, in the words of the consent page. */
export interface ScopeText {
  readonly title: string;
  readonly detail: string;
}

const texts: ReadonlyMap<string, ScopeText> = new Map([
  ['openid', { title: 'Know who you are', detail: 'Your user ID. Needed to sign you in.' }],
  ['profile', { title: 'See your name', detail: 'The name in your profile.' }],
  ['email', { title: 'See your email address', detail: 'And whether it has been confirmed.' }],
  ['offline_access', offline()],
  ['offline', offline()],
]);

/** The text of a scope; undefined: nobody described it, so the page shows its name. */
export function describeScope(scope: string): ScopeText | undefined {
  return texts.get(scope);
}

/** Without `openid` a sign-in is none, so it cannot be declined by itself. */
export function isRequiredScope(scope: string): boolean {
  return scope === 'openid';
}

function offline(): ScopeText {
  return {
    title: 'Stay connected while you are away',
    detail: 'The app keeps its access until you disconnect it.',
  };
}
