import { type Refusal, refuse } from './refusal.ts';

/** What the `claims` parameter asks of the login itself (OIDC Core §5.5); other claims are the login app's. */
export interface ClaimsParameter {
  /** `sub` that must be signed in (§5.5.1), if one is named. */
  readonly subject: string | undefined;
  /** `acr` values of which one is essential; empty: none is. */
  readonly essentialAcr: readonly string[];
  /** Names asked for in the ID token. */
  readonly idToken: readonly string[];
  /** Names asked for from userinfo. */
  readonly userinfo: readonly string[];
}

const claimsCharsMax = 8192;
const claimCountMax = 100;

type Json = Readonly<Record<string, unknown>>;

/** Reads the parameter; refuses what is not the JSON that §5.5 describes, or is too large. */
export function parseClaims(text: string | undefined): ClaimsParameter | undefined | Refusal {
  if (text === undefined) return undefined;
  if (text.length > claimsCharsMax) {
    return refuse('invalid_parameter', `claims is longer than ${claimsCharsMax} characters.`);
  }
  const parsed = parseObject(text);
  if (parsed === undefined) return refuse('invalid_parameter', 'claims must be a JSON object.');
  const idToken = member(parsed, 'id_token');
  const userinfo = member(parsed, 'userinfo');
  if (idToken === undefined || userinfo === undefined) {
    return refuse('invalid_parameter', 'claims.id_token and claims.userinfo must be objects.');
  }
  const names = { idToken: Object.keys(idToken), userinfo: Object.keys(userinfo) };
  if (names.idToken.length + names.userinfo.length > claimCountMax) {
    return refuse('invalid_parameter', `claims names more than ${claimCountMax} claims.`);
  }
  return { ...names, subject: subjectOf(idToken, userinfo), essentialAcr: essentialAcr(idToken) };
}

function parseObject(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function member(claims: Json, name: string): Json | undefined {
  const value = claims[name];
  if (value === undefined || value === null) return {};
  return isObject(value) ? value : undefined;
}

function subjectOf(...members: readonly Json[]): string | undefined {
  for (const one of members) {
    const sub = one.sub;
    if (isObject(sub) && typeof sub.value === 'string') return sub.value;
  }
  return undefined;
}

function essentialAcr(idToken: Json): readonly string[] {
  const acr = idToken.acr;
  if (!isObject(acr) || acr.essential !== true) return [];
  const values = Array.isArray(acr.values) ? acr.values : [acr.value];
  return values.filter((value) => typeof value === 'string');
}
