import type { Run } from './migration.ts';
import type { Act } from './state.ts';

/** What a command may be given by `--name`. */
export interface Option {
  readonly type: 'boolean' | 'string';
  readonly value?: string;
  readonly multiple?: boolean;
  /** It is a whole number from one to the other. */
  readonly range?: readonly [number, number];
  readonly about: string;
}

/** The options that stand on the command line. */
export interface Input {
  flag(name: string): boolean;
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  /** Of an option with a range. */
  count(name: string, absent: number): number;
  /** As `count`; undefined where the option does not stand. */
  countIfGiven(name: string): number | undefined;
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
