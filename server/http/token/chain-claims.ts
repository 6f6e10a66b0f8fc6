/** Session claims that ride in a token, in bytes; larger ones stand in the chain's row. */
export const claimsCarriedMax = 4096;

/** What a chain keeps of the login app's claims; JSON texts of objects. */
export interface ChainClaims {
  readonly idToken: string | undefined;
  readonly accessToken: string | undefined;
  /** The pairwise subject that the login app forced; '' where none. */
  readonly forcedSubject: string;
}

/** What most chains keep: nothing. */
export const noClaims: ChainClaims = {
  idToken: undefined,
  accessToken: undefined,
  forcedSubject: '',
};

/** Reads a chain's or code's claims column, which only we write. */
export function readChainClaims(text: string | null | undefined): ChainClaims {
  if (text === null || text === undefined) return noClaims;
  const stored: { id_token?: object; access_token?: object; forced_subject?: string } =
    JSON.parse(text);
  return {
    idToken: stored.id_token && JSON.stringify(stored.id_token),
    accessToken: stored.access_token && JSON.stringify(stored.access_token),
    forcedSubject: stored.forced_subject ?? '',
  };
}
