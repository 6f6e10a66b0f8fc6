/** What stands in a log line where a secret stood. */
const mask = '[redacted]';

/** Longer texts are cut before they are looked at, so that one line costs a bounded time. */
const inspectedCharactersMax = 8192;
const writtenCharactersMax = 600;

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const secretWords =
  'password|passwd|secret|token|verifier|challenge|assertion|authorization|cookie';

// Every expression is linear: one character class per repetition, nothing nested.
const credentialPatterns: readonly (readonly [RegExp, string])[] = [
  // user and password of a URL, as in postgres://user:password@host
  [/:\/\/[^\s/@]*@/g, `://${mask}@`],
  // header values
  [/(basic|bearer|dpop)[ \t:]+[^\s,;"']+/gi, `$1 ${mask}`],
  // our own tokens (gh_at_, gh_rt_, gh_ac_, ...) and any JWT or JWE
  [/gh_[a-z]{2,3}_[^\s"',;)}\]]*/gi, `gh_${mask}`],
  [/eyJ[\w.~+/=-]*/g, mask],
  // credentials that ride in a path or in a query string
  [/\/c\/[^\s/?#"']+/g, `/c/${mask}`],
  [/\?[^\s"'<>]+/g, `?${mask}`],
  [/#[^\s"'<>#=]*=[^\s"'<>]*/g, `#${mask}`],
  // name=value and "name": "value" of anything that is a secret by its name
  [
    new RegExp(`(${secretWords}|code)("?[ \\t]{0,4}[=:][ \\t]{0,4}"?)[^\\s"&,;]+`, 'gi'),
    `$1$2${mask}`,
  ],
];
const opaqueRun = /[A-Za-z0-9_+-][A-Za-z0-9_+=-]{21,}/g;
const secretName = new RegExp(
  `(${secretWords}|salt|pepper)$|^(code|hint|key|body|query|url)$`,
  'i',
);

/** True for a field whose name alone says that its value must not be written. */
export function isSecretName(name: string): boolean {
  return secretName.test(name);
}

/** True for a long run of base64url or hexadecimal that is not a UUID and not plain words. */
function isOpaque(run: string): boolean {
  if (uuid.test(run)) return false;
  return /[0-9]/.test(run) || (/[a-z]/.test(run) && /[A-Z]/.test(run));
}

/**
 * The one place where text becomes fit for a log: tokens, JWTs, Authorization values, passwords of
 * URLs, query strings, `/c/<credential>` paths and long opaque values are replaced by a mask.
 * UUIDs stay: they are ids, never credentials (security 53).
 */
export function redacted(text: string): string {
  // Nothing in the list is shorter than four characters.
  if (text.length < 4) return text;
  const inspected =
    text.length > inspectedCharactersMax ? text.slice(0, inspectedCharactersMax) : text;
  let clean = inspected;
  for (const [pattern, replacement] of credentialPatterns) {
    clean = clean.replace(pattern, replacement);
  }
  if (clean.length >= 22) clean = clean.replace(opaqueRun, (run) => (isOpaque(run) ? mask : run));
  return clean.length > writtenCharactersMax ? `${clean.slice(0, writtenCharactersMax)}...` : clean;
}
