import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { variableName } from '#server/config/names.ts';
import { Failure } from './command.ts';

/**
 * Makes the data directory. What lies in it has mode 600, so root may leave it open for passage:
 * PostgreSQL runs as another user, and its directory lies below.
 */
export async function ensureDataDirectory(dataDir: string): Promise<void> {
  const mode = process.getuid?.() === 0 ? 0o755 : 0o700;
  const made = await mkdir(dataDir, { recursive: true, mode }).catch((cause: unknown) => {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
    throw new Failure(
      `${dataDir} cannot be made (${why}): let ${variableName('dataDir')} name a directory that ` +
        'this user may write to.',
      { cause },
    );
  });
  // Whatever the umask says; a directory that was there before is left as it is.
  if (made !== undefined) await chmod(dataDir, mode);
}

/** The file that holds the admin token where no setting does. */
export function adminTokenFile(dataDir: string): string {
  return join(dataDir, 'admin-token');
}
