/**
 * What the operator can mend; the message is a sentence that says what to do. `found` is what a
 * program reads of it, beside the sentence.
 */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly found: Readonly<Record<string, unknown>>;
  constructor(
    message: string,
    { found = {}, ...options }: ErrorOptions & { found?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options);
    this.found = found;
  }
}

/** The SQLSTATE of an error that PostgreSQL has sent, '' for any other. */
export function sqlStateOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** What an error says in one line. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map(sentenceOf).join('; ');
  }
  const detail = 'detail' in error && typeof error.detail === 'string' ? ` (${error.detail})` : '';
  return `${error.message}${detail}`;
}
