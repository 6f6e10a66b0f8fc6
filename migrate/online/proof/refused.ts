import { type Finding, lint } from '../lint.ts';
import { type Migration, migrationOf, type Phase } from '../migration.ts';
import { world } from './world.ts';

/** The migration that makes what the examples are about. */
export const base: readonly Migration[] = [migrationOf('0001_world.expand.sql', world)];

/** The findings of a migration that comes after the world and `before`. */
export function found(sql: string, phase: Phase = 'expand', before = ''): readonly Finding[] {
  const history = [...base, migrationOf('0002_before.contract.sql', before)];
  const readings = lint([...history, migrationOf(`0003_new.${phase}.sql`, sql)], {
    oldestPostgres: 18,
  });
  return readings.filter(({ migration }) => migration.number === 3).flatMap((one) => one.findings);
}

/** The rules by which it is refused. */
export const refused = (sql: string, phase: Phase = 'expand', before = '') =>
  found(sql, phase, before).flatMap(({ rule, excuse }) => (excuse === undefined ? [rule] : []));
