/** What a runner tells while it works: a sentence for people, and the same as data. */
export interface Notice {
  readonly kind:
    | 'turn'
    | 'newer'
    | 'step'
    | 'blocked'
    | 'rebuild'
    | 'index'
    | 'batch'
    | 'paused'
    | 'applied'
    | 'reverted';
  readonly sentence: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export type Tell = (notice: Notice) => void;
