import type { LockMode } from './lock.ts';

/** How long a statement keeps its lock: no longer than it takes to say so, or as long as reading or
 * writing every row takes. `until commit`: for as long as its transaction goes on. */
export type Hold = 'brief' | 'scan' | 'rewrite' | 'until commit';

/**
 * What the linter says of a form on a table that existed before: `allowed`; `contract`: only where
 * no running release needs what it removes; `refused`: only with an annotation that says why.
 */
export type Verdict = 'allowed' | 'contract' | 'refused';

/**
 * What goes wrong where it is not simply allowed. `blocks`: writes (or reads) wait as long as there
 * are rows; `breaks`: statements of the release before fail, or mean something else; `loses`: rows
 * are gone; `fails`: it cannot succeed on a table with rows; `unjudged`: the text does not tell.
 */
export type Harm = 'blocks' | 'breaks' | 'loses' | 'fails' | 'unjudged';

/**
 * One form of DDL: what it locks and for how long, and what to do instead. The table of these is
 * the source of the linter, of its page, and of the test that runs each against a table under load.
 */
export interface Form {
  readonly id: string;
  /** How a person would call it. */
  readonly about: string;
  /** The strongest lock on the table that it names. */
  readonly lock: LockMode;
  readonly hold: Hold;
  readonly verdict: Verdict;
  readonly harm?: Harm;
  /** Why it is refused, or what is good to know where it is not. */
  readonly why: string;
  /** What to write instead. */
  readonly instead?: string;
  /** Other tables that it locks, and how: `referenced`, `parent`. */
  readonly also?: { readonly lock: LockMode; readonly on: string };
  /** PostgreSQL refuses it inside a transaction. */
  readonly alone?: true;
  /** The first major version that knows it; absent: 15 and all before. */
  readonly since?: number;
  readonly example: Example;
  /** Other statements of the form, of a shape of their own. */
  readonly more?: readonly Example[];
}

/** Statements that show a form on the table `busy` of the proof. */
export interface Example {
  /** Migrations before it; `;` and `-- migrate:commit` as in a file. */
  readonly before?: string;
  readonly sql: string;
  /** Cleans up what a rollback does not. */
  readonly after?: string;
  /** The relation that is locked and under load; absent: `busy`. */
  readonly on?: string;
  /** The second relation; absent: what the form's `also` is on in other examples. */
  readonly second?: string;
  /** Reads are what would wait, or numbers of a sequence, or who deletes rows of `busy`. */
  readonly load?: 'reads' | 'numbers' | 'deletes';
  /** What the release before says, and what no longer works. */
  readonly former?: string;
}

// What several forms say.
export const short =
  'The lock keeps everybody out, but only for the moment that the catalogue takes.';
export const scans = 'Reads every row while nobody may read or write.';
export const builds = 'Builds the index while nobody may read or write.';
export const rewrites = 'Writes every row anew while nobody may read or write.';
