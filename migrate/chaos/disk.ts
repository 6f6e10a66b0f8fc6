import { execFile } from 'node:child_process';
import { chown, mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A small file system that can be filled up. */
export interface SmallDisk {
  /** A directory on it for a tablespace, which belongs to `owner`. */
  readonly directory: string;
  /** Leaves no room but some pages. */
  fill(): Promise<void>;
  free(): Promise<void>;
  close(): Promise<void>;
}

const run = promisify(execFile);
const mebibytes = 96;
const bytesLeft = 16 * 1024;

/** Mounts one; undefined where this process may not (it takes root, outside of most containers). */
export async function openSmallDisk(owner: {
  readonly uid: number;
  readonly gid: number;
}): Promise<SmallDisk | undefined> {
  const place = await mkdtemp(join(tmpdir(), 'migrate-disk-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=755`, 'none', place]);
  } catch {
    await rm(place, { recursive: true, force: true });
    return undefined;
  }
  const directory = join(place, 'tablespace');
  await mkdir(directory);
  await chown(directory, owner.uid, owner.gid);
  const ballast = join(place, 'ballast');
  return {
    directory,
    async fill() {
      const { bavail, bsize } = await statfs(place);
      const bytes = Math.max(0, bavail * bsize - bytesLeft);
      // Where PostgreSQL was faster, it is full all the same.
      await writeFile(ballast, Buffer.alloc(bytes)).catch(() => {});
    },
    free: () => rm(ballast, { force: true }),
    async close() {
      await run('umount', [place]);
      await rm(place, { recursive: true, force: true });
    },
  };
}
