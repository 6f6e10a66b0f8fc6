import { type Refusal, refuse } from './refusal.ts';

/** Most scopes that one request, grant or registration may name. */
export const scopeCountMax = 100;
/** Longest single scope, in characters. */
export const scopeCharsMax = 255;
/** Longest scope parameter, in characters. */
export const scopeTextCharsMax = 8192;

const space = 0x20;

/**
 * The scopes in a space-separated list, in order, duplicates dropped. No text, or only spaces, is
 * an empty list; extra spaces are ignored as Hydra does. Refuses (`scope_malformed`) characters
 * outside of RFC 6749 §3.3 and lists over the limits above.
 */
export function parseScope(text: string | undefined): string[] | Refusal {
  if (text === undefined || text === '') return [];
  if (text.length > scopeTextCharsMax) {
    return refuse('scope_malformed', `scope is longer than ${scopeTextCharsMax} characters`);
  }
  const seen = new Set<string>();
  let start = 0;
  for (let at = 0; at <= text.length; at += 1) {
    const code = at < text.length ? text.charCodeAt(at) : space;
    if (code !== space) {
      if (!isScopeCharacter(code)) return malformed;
      continue;
    }
    if (at - start > scopeCharsMax) {
      return refuse('scope_malformed', `a scope is longer than ${scopeCharsMax} characters`);
    }
    if (at > start) seen.add(text.slice(start, at));
    start = at + 1;
  }
  if (seen.size > scopeCountMax) {
    return refuse('scope_malformed', `more than ${scopeCountMax} scopes are named`);
  }
  return [...seen];
}

/** True if `scope` is one scope-token of RFC 6749 §3.3 within the length limit. */
export function validScopeToken(scope: string): boolean {
  if (scope.length === 0 || scope.length > scopeCharsMax) return false;
  for (let at = 0; at < scope.length; at += 1) {
    if (!isScopeCharacter(scope.charCodeAt(at))) return false;
  }
  return true;
}

/**
 * True if one of the registered patterns allows `scope`. This is fosite's WildcardScopeStrategy,
 * Hydra's default: segments are split by `.`; `*` stands for one segment that is not empty, and as
 * the last segment of a pattern for one or more. Time is linear in the length of the patterns.
 */
export function scopeAllowed(patterns: readonly string[], scope: string): boolean {
  // An equal pattern always matches, and one without `*` matches only what equals it.
  if (patterns.includes(scope)) return true;
  for (const pattern of patterns) {
    if (pattern.includes('*') && patternMatches(pattern, scope)) return true;
  }
  return false;
}

/** The first of `scopes` that no pattern allows, or undefined when all are allowed. */
export function scopeNotAllowed(
  patterns: readonly string[],
  scopes: readonly string[],
): string | undefined {
  return scopes.find((scope) => !scopeAllowed(patterns, scope));
}

const malformed = refuse(
  'scope_malformed',
  'scope may hold printable ASCII without space, " and \\, separated by single spaces',
);

function isScopeCharacter(code: number): boolean {
  return code >= 0x21 && code <= 0x7e && code !== 0x22 && code !== 0x5c;
}

function patternMatches(pattern: string, scope: string): boolean {
  let patternAt = 0;
  let scopeAt = 0;
  for (;;) {
    const patternEnd = segmentEnd(pattern, patternAt);
    const scopeEnd = segmentEnd(scope, scopeAt);
    const patternIsLast = patternEnd === pattern.length;
    const scopeIsLast = scopeEnd === scope.length;
    const isStar = patternEnd - patternAt === 1 && pattern[patternAt] === '*';
    // A star stands for a segment that is not empty; in the place of an empty one it is literal.
    const matches =
      isStar && scopeEnd > scopeAt
        ? true
        : patternEnd - patternAt === scopeEnd - scopeAt &&
          scope.startsWith(pattern.slice(patternAt, patternEnd), scopeAt);
    if (!matches) return false;
    if (patternIsLast) return scopeIsLast || isStar;
    if (scopeIsLast) return false;
    patternAt = patternEnd + 1;
    scopeAt = scopeEnd + 1;
  }
}

function segmentEnd(text: string, from: number): number {
  const at = text.indexOf('.', from);
  return at === -1 ? text.length : at;
}
