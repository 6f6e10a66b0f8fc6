/** PostgreSQL's table locks, the weakest first (PostgreSQL manual, 13.3.1). */
export const lockModes = [
  'NONE',
  'ACCESS SHARE',
  'ROW SHARE',
  'ROW EXCLUSIVE',
  'SHARE UPDATE EXCLUSIVE',
  'SHARE',
  'SHARE ROW EXCLUSIVE',
  'EXCLUSIVE',
  'ACCESS EXCLUSIVE',
] as const;

export type LockMode = (typeof lockModes)[number];

/** What each mode keeps out, by the same table of the manual. */
const conflicts: Readonly<Record<LockMode, readonly LockMode[]>> = {
  NONE: [],
  'ACCESS SHARE': ['ACCESS EXCLUSIVE'],
  'ROW SHARE': ['EXCLUSIVE', 'ACCESS EXCLUSIVE'],
  'ROW EXCLUSIVE': ['SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'],
  'SHARE UPDATE EXCLUSIVE': lockModes.slice(4),
  SHARE: [
    'ROW EXCLUSIVE',
    'SHARE UPDATE EXCLUSIVE',
    'SHARE ROW EXCLUSIVE',
    'EXCLUSIVE',
    'ACCESS EXCLUSIVE',
  ],
  'SHARE ROW EXCLUSIVE': lockModes.slice(3),
  EXCLUSIVE: lockModes.slice(2),
  'ACCESS EXCLUSIVE': lockModes.slice(1),
};

/** True where two sessions cannot hold these on one table at the same time. */
export function conflict(one: LockMode, other: LockMode): boolean {
  return conflicts[one].includes(other);
}

/** True where insert, update and delete wait for it. */
export function blocksWrites(mode: LockMode): boolean {
  return conflict(mode, 'ROW EXCLUSIVE');
}
/** The stronger of two. */
export function stronger(one: LockMode, other: LockMode): LockMode {
  return lockModes.indexOf(one) > lockModes.indexOf(other) ? one : other;
}

/** As pg_locks spells it: `AccessExclusiveLock`. */
export function modeOfPgLocks(name: string): LockMode {
  const words = name.replace(/Lock$/, '').replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ');
  return lockModes.find((mode) => mode === words.toUpperCase()) ?? 'NONE';
}

/** The spelling of pg_locks for what conflicts with a mode. */
export function pgLocksConflictingWith(mode: LockMode): readonly string[] {
  return conflicts[mode].map(
    (one) =>
      `${one
        .split(' ')
        .map((word) => `${word.charAt(0)}${word.slice(1).toLowerCase()}`)
        .join('')}Lock`,
  );
}
