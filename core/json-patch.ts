import { clientDepthMax, isObject, isShallow } from './client-field.ts';
import { type Refusal, refuse } from './refusal.ts';

/** Most operations in one patch. */
export const patchOperationsMax = 100;
/**
 * Most characters, as JSON, of a document and all that a patch adds and copies to it: `copy` can
 * double it. What is removed counts on, so a patch costs no more than so many characters.
 */
const patchedCharsMax = 262_144;
const pointerCharsMax = 1024;

type Doc = Record<string, unknown>;
/** A document under way, and how many characters it and what was made of it had so far. */
type Root = { value: unknown; chars: number };
type Fault = { readonly fault: string };

/**
 * Applies a JSON Patch (RFC 6902) to a JSON object and gives the new one; the given one is not
 * touched. A patch that is malformed or does not fit is refused (`malformed_request`) as a whole,
 * with the number of the operation and what is wrong.
 */
export function applyPatch(document: Readonly<Doc>, patch: unknown): Doc | Refusal {
  if (!Array.isArray(patch)) {
    return refuse('malformed_request', 'a JSON Patch is a list of operations (RFC 6902 §3)');
  }
  if (patch.length > patchOperationsMax) {
    return refuse('malformed_request', `a JSON Patch has at most ${patchOperationsMax} operations`);
  }
  if (!isShallow(patch, 2 * clientDepthMax)) {
    return refuse('malformed_request', 'the JSON Patch is nested too deep');
  }
  const root: Root = { value: cloneJson(document), chars: charsOf(document) };
  for (const [index, operation] of patch.entries()) {
    const result = applyOne(root, operation);
    if (result !== undefined) {
      return refuse('malformed_request', `operation ${index} of the JSON Patch ${result.fault}`);
    }
  }
  if (isObject(root.value)) return { ...root.value };
  return refuse('malformed_request', 'the patched document must be a JSON object');
}

/** The members of a document that a patch may write to: first segments of `path`, and `from` of a move. */
export function patchedMembers(patch: unknown): readonly string[] {
  if (!Array.isArray(patch)) return [];
  return patch.flatMap((operation) => {
    if (!isObject(operation) || operation.op === 'test') return [];
    const pointers = operation.op === 'move' ? [operation.path, operation.from] : [operation.path];
    return pointers.flatMap((pointer) => parsePointer(pointer)?.slice(0, 1) ?? []);
  });
}

function applyOne(root: Root, operation: unknown): Fault | undefined {
  if (!isObject(operation)) return { fault: 'must be a JSON object' };
  const path = parsePointer(operation.path);
  if (path === undefined) return { fault: 'needs a "path" that is a JSON Pointer (RFC 6901)' };
  switch (operation.op) {
    case 'add':
      return withValue(operation, (value) => addMade(root, path, value));
    case 'replace':
      return withValue(operation, (value) => remove(root, path) ?? addMade(root, path, value));
    case 'test':
      return withValue(operation, (value) => test(root, path, value));
    case 'remove':
      return remove(root, path);
    case 'move':
    case 'copy':
      return transfer(root, path, operation);
    default:
      return { fault: 'needs an "op": add, remove, replace, move, copy or test' };
  }
}

function withValue(operation: Readonly<Doc>, act: (value: unknown) => Fault | undefined) {
  return Object.hasOwn(operation, 'value') ? act(operation.value) : { fault: 'needs a "value"' };
}

function test(root: Root, path: readonly string[], value: unknown) {
  const found = locate(root.value, path);
  return found !== undefined && equalJson(found.value, value)
    ? undefined
    : { fault: 'is a test that does not hold' };
}

function transfer(root: Root, path: readonly string[], operation: Readonly<Doc>) {
  const from = parsePointer(operation.from);
  if (from === undefined) return { fault: 'needs a "from" that is a JSON Pointer (RFC 6901)' };
  const found = locate(root.value, from);
  if (found === undefined) return { fault: 'has a "from" that leads nowhere' };
  if (operation.op === 'copy') return addMade(root, path, found.value);
  if (path.length > from.length && from.every((part, at) => part === path[at])) {
    return { fault: 'moves a value into itself' };
  }
  return remove(root, from) ?? add(root, path, found.value);
}

/** Adds a copy of a value, if there is room for it. */
function addMade(root: Root, path: readonly string[], value: unknown): Fault | undefined {
  root.chars += charsOf(value);
  if (root.chars > patchedCharsMax) return { fault: 'makes the document too large' };
  return add(root, path, cloneJson(value));
}

function charsOf(value: unknown): number {
  return value === undefined ? 0 : JSON.stringify(value).length;
}

function add(root: Root, path: readonly string[], value: unknown): Fault | undefined {
  const last = path.at(-1);
  if (last === undefined) {
    root.value = value;
    return undefined;
  }
  const parent = locate(root.value, path.slice(0, -1))?.value;
  if (Array.isArray(parent)) {
    const at = last === '-' ? parent.length : indexOf(last);
    if (at === undefined || at > parent.length) return { fault: 'has an index out of the list' };
    parent.splice(at, 0, value);
    return undefined;
  }
  if (!isObject(parent)) return nowhere;
  // Defined, not assigned: `__proto__` is a name like any other here.
  Object.defineProperty(parent, last, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
  return undefined;
}

function remove(root: Root, path: readonly string[]): Fault | undefined {
  const last = path.at(-1);
  if (last === undefined) {
    root.value = undefined;
    return undefined;
  }
  const parent = locate(root.value, path.slice(0, -1))?.value;
  if (Array.isArray(parent)) {
    const at = indexOf(last);
    if (at === undefined || at >= parent.length) return { fault: 'has an index out of the list' };
    parent.splice(at, 1);
    return undefined;
  }
  if (!isObject(parent) || !Object.hasOwn(parent, last)) return nowhere;
  Reflect.deleteProperty(parent, last);
  return undefined;
}

const nowhere: Fault = { fault: 'has a "path" that leads nowhere' };

function locate(from: unknown, path: readonly string[]): { readonly value: unknown } | undefined {
  let value = from;
  for (const part of path) {
    if (Array.isArray(value)) {
      const at = indexOf(part);
      if (at === undefined || at >= value.length) return undefined;
      value = value[at];
    } else if (isObject(value) && Object.hasOwn(value, part)) value = value[part];
    else return undefined;
  }
  return { value };
}

function parsePointer(pointer: unknown): readonly string[] | undefined {
  if (typeof pointer !== 'string' || pointer.length > pointerCharsMax) return undefined;
  if (pointer === '') return [];
  if (!pointer.startsWith('/') || /~(?![01])/.test(pointer)) return undefined;
  const parts = pointer.slice(1).split('/');
  return parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function indexOf(part: string): number | undefined {
  return /^(0|[1-9][0-9]{0,8})$/.test(part) ? Number(part) : undefined;
}

function cloneJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cloneJson);
  if (!isObject(value)) return value;
  // fromEntries defines own properties, so `__proto__` stays a name like any other.
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, cloneJson(inner)]));
}

/** Equality of RFC 6902 §4.6: the order of members does not matter. */
function equalJson(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((value, at) => equalJson(value, b[at]));
  }
  if (isObject(a) && isObject(b)) {
    const names = Object.keys(a);
    return (
      names.length === Object.keys(b).length &&
      names.every((name) => Object.hasOwn(b, name) && equalJson(a[name], b[name]))
    );
  }
  return a === b;
}
