import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * What a migration may do. Expand only adds, so the release before runs on it too; backfill fills
 * what was added; contract removes what no supported release uses.
 */
export type MigrationPhase = 'expand' | 'backfill' | 'contract';

/** One numbered SQL file of this release. */
export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly phase: MigrationPhase;
  readonly sql: string;
  /** SHA-256 of the file, in hex: a file that was applied never changes. */
  readonly checksum: string;
}

/** This release's migrations, `NNNN_name.phase.sql`, by number. Throws where files contradict. */
export async function releasedMigrations(
  directory = fileURLToPath(new URL('.', import.meta.url)),
): Promise<readonly Migration[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql')).sort();
  const migrations = await Promise.all(
    files.map(async (file) => {
      const match = /^(\d{4})_([a-z0-9_]+)\.(expand|backfill|contract)\.sql$/.exec(file);
      const [, number, name, phase] = match ?? [];
      if (number === undefined || name === undefined || !isPhase(phase)) {
        throw new Error(`${file}: a migration is named NNNN_name.(expand|backfill|contract).sql`);
      }
      const sql = await readFile(join(directory, file), 'utf8');
      const checksum = createHash('sha256').update(sql).digest('hex');
      return { number: Number(number), name, phase, sql, checksum };
    }),
  );
  for (const [index, migration] of migrations.entries()) {
    if (migration.number === migrations[index - 1]?.number) {
      throw new Error(`two migrations have the number ${migration.number}`);
    }
  }
  return migrations;
}

/** Tells the name of a phase from any other text. */
export function isPhase(text: string | undefined): text is MigrationPhase {
  return text === 'expand' || text === 'backfill' || text === 'contract';
}
