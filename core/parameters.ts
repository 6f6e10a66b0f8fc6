/** Request parameters, each given once but for those that may repeat; empty values count as absent. */
export interface Parameters {
  /** The value, or undefined where the parameter is absent or empty (RFC 6749 §3.1). */
  get(name: string): string | undefined;
  /** Every value of a parameter that may repeat (`resource`, `audience`). */
  all(name: string): readonly string[];
}
