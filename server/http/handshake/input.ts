import { type Refusal, refuse } from '#core/refusal.ts';

/** What a login or consent app sent, read field by field; the first fault is kept. */
export interface Input {
  text(name: string, charsMax: number): string | undefined;
  flag(name: string): boolean;
  /** A whole number of seconds from 0; larger ones are cut to `max`. */
  seconds(name: string, max: number): number;
  textList(name: string, countMax: number): readonly string[] | undefined;
  /** Any JSON value, as JSON text; undefined where absent or null. */
  json(name: string, charsMax: number): string | undefined;
  object(name: string): Input | undefined;
  /** The first thing that was wrong. */
  fault(): Refusal | undefined;
}

/** Longest entry of a list of words, in characters. */
export const wordCharsMax = 1024;

/** Reads a JSON object; anything else is a fault. Absent (no body) reads as an empty object. */
export function readInput(body: unknown): Input {
  const faults: Refusal[] = [];
  const note = (hint: string) => {
    faults.push(refuse('malformed_request', hint));
    return undefined;
  };
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
  if (!isObject && body !== undefined && body !== null) note('The body must be a JSON object.');
  const fields: ReadonlyMap<string, unknown> = new Map(isObject ? Object.entries(body) : []);
  const given = (name: string) => fields.get(name) ?? undefined;
  const nested: Input[] = [];

  return {
    text(name, charsMax) {
      const value = given(name);
      if (value === undefined) return undefined;
      if (typeof value !== 'string') return note(`${name} must be a string.`);
      return value.length > charsMax ? note(`${name} is longer than ${charsMax}.`) : value;
    },
    flag(name) {
      const value = given(name);
      if (value !== undefined && typeof value !== 'boolean') note(`${name} must be true or false.`);
      return value === true;
    },
    seconds(name, max) {
      const value = given(name);
      if (value === undefined) return 0;
      if (typeof value === 'number' && Number.isInteger(value)) {
        return Math.min(Math.max(value, 0), max);
      }
      note(`${name} must be a whole number of seconds.`);
      return 0;
    },
    textList(name, countMax) {
      const value = given(name);
      if (value === undefined) return undefined;
      const fits = (one: unknown) => typeof one === 'string' && /^[^\s]{1,1024}$/.test(one);
      if (!Array.isArray(value) || !value.every(fits)) {
        return note(
          `${name} must be a list of strings without spaces, of ${wordCharsMax} at most.`,
        );
      }
      if (value.length > countMax) return note(`${name} has more than ${countMax} entries.`);
      return [...new Set(value.map(String))];
    },
    json(name, charsMax) {
      const value = given(name);
      if (value === undefined) return undefined;
      const text = JSON.stringify(value);
      return text.length > charsMax ? note(`${name} is larger than ${charsMax}.`) : text;
    },
    object(name) {
      const value = given(name);
      if (value === undefined) return undefined;
      const inner = readInput(value);
      nested.push(inner);
      return inner;
    },
    fault: () => faults[0] ?? nested.map((inner) => inner.fault()).find((one) => one !== undefined),
  };
}
