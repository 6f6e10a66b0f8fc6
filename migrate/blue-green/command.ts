import type { Run } from './migration.ts';
import type { Act } from './state.ts';

/** What a command may be given by `--name`. */
export interface Option {
  readonly type: 'boolean' | 'string';
  readonly value?: string;
  readonly multiple?: boolean;
  readonly about: string;
}

/** The options that stand on the command line. */
export interface Input {
  flag(name: string): boolean;
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  /** A whole number; refuses anything else, and what lies outside. */
  count(name: string, absent: number, min: number, max: number): number;
  /** As `count`; undefined where the option does not stand. */
  countIfGiven(name: string, min: number, max: number): number | undefined;
}

/** What a command has to say at its end, for `--json`; lines are printed while it works. */
export type Answer = Readonly<Record<string, unknown>>;

/** One command of `migrate`: what help says, what it takes, what it does. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly details: readonly string[];
  readonly options: Readonly<Record<string, Option>>;
  readonly example: readonly string[];
  /** In which phases it may begin; undefined: it only looks, or leaves a word for a tool that runs. */
  readonly act?: Act;
  /** It takes the lock, so that no other tool works meanwhile. */
  readonly exclusive: boolean;
  run(run: Run, input: Input): Promise<Answer>;
}
