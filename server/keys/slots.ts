import type { SigningAlg } from '#core/client.ts';
import type { SealGroup } from '#tokens/ring.ts';

/** Hydra's names for the two sets whose public keys the JWKS endpoint serves. */
export const idTokenSet = 'hydra.openid.id-token';
export const accessTokenSet = 'hydra.jwt.access-token';

/** The one algorithm of JWT access tokens (hot path 10). */
export const accessTokenAlg: SigningAlg = 'ES256';

const daySeconds = 86_400;
const hourSeconds = 3_600;

/** When keys are made, used and deleted; all in seconds. */
export interface Schedule {
  /** Age at which a key is replaced. */
  readonly rotationSeconds: number;
  /** How often a node looks whether keys are due. */
  readonly lookSeconds: number;
  /** How often a node looks whether keys are spent. */
  readonly cleanUpSeconds: number;
  /** Every node reads the key table this often, whatever the feed says (an idle feed does not poll). */
  readonly reloadSeconds: number;
  /** How long a signing key is published before it signs, so that every relying party has it. */
  readonly signingLeadSeconds: number;
  /** The same for secrets: twice the longest time for which a node may not have read the table. */
  readonly secretLeadSeconds: number;
  /** Added to what a retired key protects, for clocks, transfers and requests under way. */
  readonly marginSeconds: number;
  /**
   * Hints of logout requests are ID tokens that expired long ago (RP-Initiated Logout 1.0 §2), so
   * their keys stay published for half a year after the last signature.
   */
  readonly hintSeconds: number;
  /** Clients may have longer lifetimes than the deployment; the rows are asked, but not before this. */
  readonly longestSeconds: number;
}

/** The schedule of a deployment; with `insecureKeyRotationSeconds` one that can be watched. */
export function scheduleOf(config: {
  readonly keyRotationDays: number;
  readonly insecureKeyRotationSeconds?: number | undefined;
}): Schedule {
  const short = config.insecureKeyRotationSeconds;
  if (short === undefined) {
    return {
      rotationSeconds: config.keyRotationDays * daySeconds,
      lookSeconds: hourSeconds,
      cleanUpSeconds: daySeconds,
      reloadSeconds: 240,
      signingLeadSeconds: 24 * hourSeconds,
      secretLeadSeconds: 600,
      marginSeconds: daySeconds,
      hintSeconds: 180 * daySeconds,
      longestSeconds: 30 * daySeconds,
    };
  }
  const [third, twelfth] = [short / 3, short / 12];
  return {
    rotationSeconds: short,
    lookSeconds: twelfth,
    cleanUpSeconds: twelfth,
    reloadSeconds: twelfth,
    signingLeadSeconds: third,
    secretLeadSeconds: third,
    marginSeconds: third,
    hintSeconds: third,
    longestSeconds: third,
  };
}

/** Browsers keep a cookie for 400 days at most (RFC 6265bis §5.5). */
const sessionCookieKeepSeconds = 400 * daySeconds;

/** What a retired key waits for beyond its time, checked in the rows (server/store/key.ts). */
export type Held = 'nothing' | 'access_tokens' | 'chains' | 'client_secrets';

/** One place that always has a key: a newest one that is used, and earlier ones that still open. */
export interface Slot {
  readonly setName: string;
  readonly alg: string;
  readonly use: 'seal' | 'mac' | 'sig';
  readonly leadSeconds: number;
  /** How long a key is kept after a newer one took its place. */
  readonly keepSeconds: number;
  readonly heldBy: Held;
}

/** The set names of the data keys, by what they seal. */
export const sealSets: Readonly<Record<SealGroup, string>> = {
  flow: 'gatehouse.flow',
  code: 'gatehouse.code',
  access_token: 'gatehouse.access-token',
  session_cookie: 'gatehouse.session-cookie',
};
export const refreshMacSet = 'gatehouse.refresh';
export const pepperSet = 'pepper';

/** The settings that say how long something lives. */
export interface Lifetimes {
  readonly flowSeconds: number;
  readonly codeSeconds: number;
  readonly accessTokenSeconds: number;
  readonly idTokenSeconds: number;
  /** How long a refresh token may lie idle; 0: for ever. */
  readonly refreshTokenSeconds: number;
}

/** All slots of a deployment. */
export function slotsOf(lifetimes: Lifetimes, schedule: Schedule): readonly Slot[] {
  const { marginSeconds, longestSeconds } = schedule;
  const accessKeep = Math.max(lifetimes.accessTokenSeconds, longestSeconds) + marginSeconds;
  const seal = (group: SealGroup, keepSeconds: number, heldBy: Held): Slot => ({
    setName: sealSets[group],
    alg: 'A256GCM',
    use: 'seal',
    leadSeconds: schedule.secretLeadSeconds,
    keepSeconds,
    heldBy,
  });
  const mac = (setName: string, keepSeconds: number, heldBy: Held): Slot => ({
    setName,
    alg: 'HS256',
    use: 'mac',
    leadSeconds: schedule.secretLeadSeconds,
    keepSeconds,
    heldBy,
  });
  const idToken = (alg: SigningAlg): Slot => ({
    setName: idTokenSet,
    alg,
    use: 'sig',
    leadSeconds: schedule.signingLeadSeconds,
    keepSeconds: lifetimes.idTokenSeconds + schedule.hintSeconds,
    heldBy: 'nothing',
  });
  return [
    seal('flow', lifetimes.flowSeconds + marginSeconds, 'nothing'),
    seal('code', lifetimes.codeSeconds + marginSeconds, 'nothing'),
    seal('access_token', accessKeep, 'access_tokens'),
    seal('session_cookie', sessionCookieKeepSeconds + marginSeconds, 'nothing'),
    mac(refreshMacSet, lifetimes.refreshTokenSeconds + longestSeconds, 'chains'),
    mac(pepperSet, marginSeconds, 'client_secrets'),
    idToken('RS256'),
    idToken('PS256'),
    idToken('ES256'),
    idToken('EdDSA'),
    {
      setName: accessTokenSet,
      alg: accessTokenAlg,
      use: 'sig',
      leadSeconds: schedule.signingLeadSeconds,
      keepSeconds: accessKeep,
      heldBy: 'access_tokens',
    },
  ];
}

/** The sets that only Gatehouse reads: no admin door shows or changes them. */
export function isReservedSet(setName: string): boolean {
  return setName === pepperSet || setName.startsWith('gatehouse.');
}

/** The sets that must always have a key to sign with. */
export function isBuiltInSet(setName: string): boolean {
  return setName === idTokenSet || setName === accessTokenSet;
}
