import { formatGoDuration, parseGoDuration, wholeSeconds } from './go-duration.ts';
import { redirectUriFault } from './redirect-uri.ts';
import { isRefusal } from './refusal.ts';
import { parseScope, validScopeToken } from './scope.ts';

/** Longest client_id, in characters. */
export const clientIdCharsMax = 255;
/** Longest name, owner or contact, in characters. */
export const clientTextCharsMax = 255;
/** Longest URI in client metadata, in characters. */
export const clientUriCharsMax = 2048;
/** Most redirect URIs, and most post-logout redirect URIs, of one client. */
export const redirectUrisMax = 100;
/** Most entries of any other list in client metadata. */
const clientListMax = 50;
/** Most characters of `metadata`, written as JSON. */
const clientFreeCharsMax = 16_384;
/** Most characters of `jwks`, written as JSON. */
const clientJwksCharsMax = 32_768;
/** Deepest nesting of `metadata` and `jwks`. */
export const clientDepthMax = 16;
/** Longest lifetime of access and ID tokens that a client may have: facts are kept as long. */
export const accessTokenSecondsMax = 366 * 86_400;
/** Longest idle lifetime of refresh tokens that a client may have. */
export const refreshTokenSecondsMax = 10 * 366 * 86_400;
/** Longest grace window for refresh retries. */
export const refreshGraceSecondsMax = 3600;

const printable = /^[\x21-\x7e]+$/;
const webScheme = /^https?:\/\//;
const durationPattern = '^([0-9]+([.][0-9]+)?(ns|us|µs|μs|ms|s|m|h))+$';
const publicJwk = { type: 'object', required: ['kty'], properties: { kty: { type: 'string' } } };

/** What a rule makes of a value: the value to keep, or what would be right, as a sentence's end. */
export type FieldResult = { readonly value: unknown } | { readonly fault: string };
/** JSON Schema (2020-12) of what a rule takes, as far as a schema can say it. */
export type FieldSchema = Readonly<Record<string, unknown>>;
/** A rule judges a value; its schema is what the API's description says of the field. */
export interface FieldRule {
  (value: unknown): FieldResult;
  readonly schema: FieldSchema;
}

/** A rule and its schema, in one place so that they change together. */
export function fieldRule(schema: FieldSchema, judge: (value: unknown) => FieldResult): FieldRule {
  return Object.assign((value: unknown) => judge(value), { schema });
}

/** A boolean, kept as given. */
export const flag: FieldRule = fieldRule({ type: 'boolean' }, (value) =>
  typeof value === 'boolean' ? { value } : { fault: 'must be true or false' },
);

/** Text that people read: no control, direction-changing or invisible characters (security 42). */
export const humanText: FieldRule = fieldRule(
  { type: 'string', maxLength: clientTextCharsMax },
  (value) => {
    if (typeof value !== 'string') return { fault: 'must be a string' };
    if (value.length > clientTextCharsMax) {
      return { fault: `must have at most ${clientTextCharsMax} characters` };
    }
    if (!value.isWellFormed() || hiddenCharacters.test(value)) {
      return {
        fault: 'must not have control, direction-changing, invisible or broken characters',
      };
    }
    return { value };
  },
);

/** A web address for people or servers: absolute http or https, without user information. */
export const webUri: FieldRule = fieldRule(
  { type: 'string', format: 'uri', maxLength: clientUriCharsMax },
  (value) => {
    if (typeof value !== 'string') return { fault: 'must be a string' };
    if (value.length > clientUriCharsMax) {
      return { fault: `must have at most ${clientUriCharsMax} characters` };
    }
    const url = printable.test(value) && URL.canParse(value) ? new URL(value) : undefined;
    if (url === undefined || !/^https?:\/\/[^/]/i.test(value) || !/^https?:$/.test(url.protocol)) {
      return { fault: 'must be an absolute https URL' };
    }
    return url.username === '' && url.password === ''
      ? { value }
      : { fault: 'must not have user information before the host' };
  },
);

/** One redirect URI, by the rules of {@link redirectUriFault}. */
export const redirectUri: FieldRule = fieldRule(
  { type: 'string', format: 'uri', maxLength: clientUriCharsMax },
  (value) => {
    if (typeof value !== 'string') return { fault: 'must be a string' };
    const fault = redirectUriFault(value);
    return fault === undefined ? { value } : { fault };
  },
);

/** A URI that names an API (RFC 8707 §2: absolute, no fragment). */
export const resourceUri: FieldRule = fieldRule(
  { type: 'string', format: 'uri', maxLength: clientUriCharsMax },
  (value) =>
    typeof value === 'string' &&
    value.length <= clientUriCharsMax &&
    printable.test(value) &&
    !value.includes('#') &&
    URL.canParse(value)
      ? { value }
      : { fault: 'must be an absolute URI without fragment (RFC 8707 §2)' },
);

/** An audience as Hydra takes it: any text without white space, usually a URL. */
export const audience: FieldRule = fieldRule(
  { type: 'string', maxLength: clientUriCharsMax, pattern: printable.source },
  (value) =>
    typeof value === 'string' && value.length <= clientUriCharsMax && printable.test(value)
      ? { value }
      : { fault: `must be text without white space of at most ${clientUriCharsMax} characters` },
);

/** A web origin, exactly as browsers send it (RFC 6454 §6.2). */
export const webOrigin: FieldRule = fieldRule(
  { type: 'string', format: 'uri', pattern: webScheme.source },
  (value) =>
    typeof value === 'string' &&
    printable.test(value) &&
    webScheme.test(value) &&
    URL.canParse(value) &&
    new URL(value).origin === value
      ? { value }
      : { fault: 'must be an origin such as https://app.example, without path or trailing slash' },
);

/** One scope-token of RFC 6749 §3.3. */
export const scopeToken: FieldRule = fieldRule(
  { type: 'string', pattern: '^[\\x21\\x23-\\x5b\\x5d-\\x7e]+$' },
  (value) =>
    typeof value === 'string' && validScopeToken(value)
      ? { value }
      : { fault: 'must be one scope of printable ASCII without space (RFC 6749 §3.3)' },
);

/** A scope list as one string, kept with single spaces and without duplicates. */
export const scopeText: FieldRule = fieldRule({ type: 'string' }, (value) => {
  if (typeof value !== 'string') return { fault: 'must be a string of scopes with spaces between' };
  const scopes = parseScope(value);
  if (isRefusal(scopes)) return { fault: `is malformed: ${scopes.hint}` };
  return { value: scopes.join(' ') };
});

/** True if a client may be called that: printable ASCII without space, bounded. */
export function isClientId(text: string): boolean {
  return text.length <= clientIdCharsMax && printable.test(text);
}

/** A client_id: printable ASCII without space. Hydra lets the admin choose it. */
export const clientIdText: FieldRule = fieldRule(
  { type: 'string', maxLength: clientIdCharsMax, pattern: printable.source },
  (value) =>
    typeof value === 'string' && isClientId(value)
      ? { value }
      : {
          fault: `must be 1 to ${clientIdCharsMax} characters of printable ASCII without space`,
        },
);

/** A list whose entries all follow `rule`; a fault names the entry's number, from 0. */
export function listOf(rule: FieldRule, countMax: number = clientListMax): FieldRule {
  return fieldRule({ type: 'array', maxItems: countMax, items: rule.schema }, (value) => {
    if (!Array.isArray(value)) return { fault: 'must be a list' };
    if (value.length > countMax) return { fault: `must have at most ${countMax} entries` };
    const entries = new Set<unknown>();
    for (const [index, entry] of value.entries()) {
      const result = rule(entry);
      if ('fault' in result) return { fault: `[${index}] ${result.fault}` };
      entries.add(result.value);
    }
    return { value: [...entries] };
  });
}

/** One of a few strings; the fault names them all. */
export function oneOf(values: readonly string[]): FieldRule {
  const fault = `must be ${listed(values)}; nothing else is supported`;
  return fieldRule({ type: 'string', enum: values }, (value) =>
    typeof value === 'string' && values.includes(value) ? { value } : { fault },
  );
}

/** A whole number of seconds within bounds. */
export function seconds(secondsMax: number): FieldRule {
  return fieldRule({ type: 'integer', minimum: 0, maximum: secondsMax }, (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= secondsMax
      ? { value }
      : { fault: `must be a whole number of seconds, 0 to ${secondsMax}` },
  );
}

/** A Go duration of at least one second, kept in Go's canonical form as Hydra answers it. */
export function lifespan(secondsMax: number): FieldRule {
  return fieldRule({ type: 'string', pattern: durationPattern }, (value) => {
    const nanoseconds = typeof value === 'string' ? parseGoDuration(value) : undefined;
    if (nanoseconds === undefined) return { fault: 'must be a duration such as 30m, 1h or 720h' };
    const whole = wholeSeconds(nanoseconds);
    return whole >= 1 && whole <= secondsMax
      ? { value: formatGoDuration(nanoseconds) }
      : { fault: `must be a duration between 1s and ${secondsMax / 3600}h` };
  });
}

/** What we know of but do not do: only leaving it out, or saying so by `allowed`, is right. */
export function unsupported(sentence: string, allowed: readonly unknown[] = []): FieldRule {
  return fieldRule({ enum: allowed, deprecated: true }, (value) =>
    allowed.includes(value) ? { value: undefined } : { fault: sentence },
  );
}

/** Accepted so that an answer can be sent back as it came, and never kept. */
export function ignored(type: 'string' | 'number'): FieldRule {
  return fieldRule({ type, readOnly: true }, (value) =>
    typeof value === type ? { value: undefined } : { fault: `must be a ${type}` },
  );
}

/** A JSON object that PostgreSQL can store: bounded, no U+0000, no lone surrogate. */
export const freeObject: FieldRule = fieldRule({ type: 'object' }, (value) => {
  if (!isObject(value)) return { fault: 'must be a JSON object' };
  return storable(value, clientFreeCharsMax) ?? { value };
});

/** A JWK Set with public keys only (RFC 7517 §5), or Hydra's empty object. */
export const publicJwks: FieldRule = fieldRule(
  {
    type: 'object',
    properties: { keys: { type: 'array', maxItems: clientListMax, items: publicJwk } },
  },
  (value) => {
    if (!isObject(value)) return { fault: 'must be a JWK Set (RFC 7517 §5)' };
    if (Object.keys(value).length === 0) return { value };
    const keys = value.keys;
    if (!Array.isArray(keys) || keys.length > clientListMax) {
      return { fault: `must have a list "keys" with at most ${clientListMax} entries` };
    }
    for (const [index, key] of keys.entries()) {
      if (!isObject(key) || typeof key.kty !== 'string') {
        return { fault: `has no "kty" in keys[${index}]` };
      }
      if (privateMembers.some((member) => member in key)) {
        return { fault: `has a private or symmetric key in keys[${index}]; send public keys only` };
      }
    }
    return storable(value, clientJwksCharsMax) ?? { value };
  },
);

/** `a, b or c`. */
export function listed(values: readonly string[]): string {
  const head = values.slice(0, -1).join(', ');
  return head === '' ? (values[0] ?? '') : `${head} or ${values.at(-1)}`;
}

/** True for a JSON object: not null, not a list. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// Controls, what turns the direction of text, zero-width marks, separators and tag characters.
const hiddenCharacters =
  /[\p{Cc}\p{Bidi_Control}\u200b\u2028\u2029\u2060-\u2064\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/u;
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const;

function storable(value: unknown, charsMax: number): { readonly fault: string } | undefined {
  if (!isShallow(value, clientDepthMax)) {
    return { fault: `must not be nested deeper than ${clientDepthMax}` };
  }
  const text = JSON.stringify(value);
  if (text.length > charsMax) return { fault: `must have at most ${charsMax} characters of JSON` };
  // JSON.stringify writes U+0000 and lone surrogates as escapes, and doubles a written backslash.
  return /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/i.test(text)
    ? { fault: 'must not have U+0000 or a lone surrogate' }
    : undefined;
}

/** True if no list or object in a JSON value is nested deeper than this. Stops there itself. */
export function isShallow(value: unknown, depthMax: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depthMax > 0 && Object.values(value).every((inner) => isShallow(inner, depthMax - 1));
}
