/** A `code_verifier` has 43 to 128 unreserved characters (RFC 7636 §4.1). */
export function validCodeVerifier(text: string): boolean {
  if (text.length < 43 || text.length > 128) return false;
  for (let i = 0; i < text.length; i++) if (!isUnreserved(text.charCodeAt(i))) return false;
  return true;
}

/** An S256 `code_challenge` is 32 bytes in base64url without padding: 43 characters. */
export function validCodeChallenge(text: string): boolean {
  if (text.length !== 43) return false;
  for (let i = 0; i < 43; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e || code === 0x7e || !isUnreserved(code)) return false;
  }
  return true;
}

/** ALPHA / DIGIT / "-" / "." / "_" / "~" */
function isUnreserved(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x30 && code <= 0x39) ||
    code === 0x2d ||
    code === 0x2e ||
    code === 0x5f ||
    code === 0x7e
  );
}
