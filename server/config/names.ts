import { type SettingKey, settings } from './settings.ts';

const prefix = 'GATEHOUSE_';

// The names that outside checks rely on put the noun first.
const exceptions: Partial<Record<SettingKey, string>> = {
  ownerDatabaseUrl: 'database_owner_url',
  usageDatabaseUrl: 'database_usage_url',
  directDatabaseUrl: 'database_direct_url',
};

/** The keys of all settings, in the order of the reference. */
export const settingKeys: readonly SettingKey[] = settings.keyof().options;

/** `publicPort` as the file writes it: `public_port`. */
export function fileName(key: SettingKey): string {
  return exceptions[key] ?? key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** `publicPort` as the environment writes it: `GATEHOUSE_PUBLIC_PORT`. */
export function variableName(key: SettingKey): string {
  return prefix + fileName(key).toUpperCase();
}

/** The variable that names the file. */
export const fileVariable = `${prefix}CONFIG`;

export function isOurVariable(name: string): boolean {
  return name.startsWith(prefix);
}

/** The candidate that differs least from what was written, when it is near enough to be meant. */
export function nearest(written: string, candidates: readonly string[]): string | undefined {
  const distances = candidates.map((name) => ({ name, distance: editDistance(written, name) }));
  const [best] = distances.sort((a, b) => a.distance - b.distance);
  return best !== undefined && best.distance <= Math.max(2, written.length / 3)
    ? best.name
    : undefined;
}

/** Levenshtein's distance, on names that are cut to 100 characters. */
function editDistance(a: string, b: string): number {
  const [from, to] = [a.slice(0, 100), b.slice(0, 100)];
  let row = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const substituted = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substituted));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
