/** What a command may be given by `--name`. */
export interface Option {
  readonly type: 'boolean' | 'string';
  /** May stand several times. */
  readonly multiple?: boolean;
  /** How help calls its value: `N`, `URL`. */
  readonly value?: string;
  /** A sentence for help. */
  readonly about: string;
}

/** Taken by every command that answers with something. */
export const json: Option = { type: 'boolean', about: 'Prints JSON.' };

/** What a command is given by position. */
export interface Operand {
  readonly name: string;
  readonly about: string;
}

/** What was written on the command line, checked against the command. */
export interface Input {
  /** True where the option stands. */
  flag(name: string): boolean;
  /** The value of an option, the last one where it stands several times. */
  text(name: string): string | undefined;
  /** All values of an option. */
  texts(name: string): readonly string[];
  /** The operand in this place, '' where there is none. */
  operand(index: number): string;
}

/** Where a command writes, a line at a time. */
export interface Terminal {
  out(line: string): void;
  error(line: string): void;
}

/** One command of `gatehouse`: what help says about it, what it takes, what it does. */
export interface Command {
  /** `client create` */
  readonly name: string;
  /** One line in the list of commands. */
  readonly summary: string;
  /** Paragraphs below it in its own help. */
  readonly details?: readonly string[];
  readonly operands?: readonly Operand[];
  readonly options?: Readonly<Record<string, Option>>;
  /** A worked example: commands (`$ ...`) and what they answer. */
  readonly example: readonly string[];
  /** Gives the exit code. Throws {@link Failure} for what the operator can mend. */
  run(input: Input, terminal: Terminal): Promise<number>;
}

/** What cannot go on; the message is a sentence for the operator that says what to do. */
export class Failure extends Error {
  override readonly name = 'Failure';
  /** True where it may pass by itself: nobody answers, or 503. */
  readonly mayPass: boolean;
  constructor(message: string, options: ErrorOptions & { readonly mayPass?: boolean } = {}) {
    super(message, options);
    this.mayPass = options.mayPass ?? false;
  }
}
