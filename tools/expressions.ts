import { parseSync } from '@swc/core';

/** A regular expression as it stands in a source file. */
export interface Expression {
  readonly pattern: string;
  readonly flags: string;
}

/** What a source file has of regular expressions. */
export interface Expressions {
  readonly literals: readonly Expression[];
  /** How often it makes one from text at run time. */
  readonly constructed: number;
}

/** Finds every regular expression of a TypeScript source. Throws where it cannot be parsed. */
export function expressionsIn(source: string): Expressions {
  const literals: Expression[] = [];
  let constructed = 0;
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) {
      for (const child of node) visit(child);
      return;
    }
    if (typeof node !== 'object' || node === null) return;
    const members: ReadonlyMap<string, unknown> = new Map(Object.entries(node));
    const type = members.get('type');
    if (type === 'RegExpLiteral') {
      literals.push({ pattern: text(members, 'pattern'), flags: text(members, 'flags') });
    }
    if (type === 'NewExpression' || type === 'CallExpression') {
      const callee = new Map(Object.entries(Object(members.get('callee'))));
      if (callee.get('value') === 'RegExp') constructed += 1;
    }
    for (const child of members.values()) visit(child);
  };
  visit(parseSync(source, { syntax: 'typescript', target: 'es2024' }).body);
  return { literals, constructed };
}

function text(members: ReadonlyMap<string, unknown>, name: string): string {
  return String(members.get(name) ?? '');
}
