export interface LockedPackage {
  readonly version?: string;
  readonly cpu?: readonly string[];
  readonly dev?: boolean;
  readonly libc?: readonly string[];
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** As in package-lock.json; the fields that are not named here are kept as they are. */
export interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export interface MissingPackage {
  readonly name: string;
  /** The exact version that its parent asks for. */
  readonly version: string;
  readonly dev: boolean;
}

/** The optional packages that some package asks for and the lock file does not have. */
export function missingFrom(lock: Lock): readonly MissingPackage[] {
  return Object.entries(lock.packages).flatMap(([place, entry]) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name]) => !isReachable(lock, place, name))
      .map(([name, version]) => ({ name, version, dev: entry.dev === true })),
  );
}

/** The lock file with them: without a checksum, which npm adds where it first installs one. */
export function completed(lock: Lock): Lock {
  const added = missingFrom(lock).map(({ name, version, dev }): [string, LockedPackage] => {
    if (!/^\d+\.\d+\.\d+/.test(version)) throw new Error(`${name}@${version} is no exact version`);
    const { cpu, libc, os } = platformOf(name);
    const entry = {
      version,
      cpu: [cpu],
      ...(dev ? { dev } : {}),
      ...(libc === undefined ? {} : { libc: [libc] }),
      optional: true,
      os: [os],
    };
    return [`node_modules/${name}`, entry];
  });
  const all = [...Object.entries(lock.packages), ...added];
  all.sort(([one], [other]) => one.localeCompare(other, 'en'));
  return { ...lock, packages: Object.fromEntries(all) };
}

/** Packages are looked for in node_modules beside the one that asks, then further out. */
function isReachable(lock: Lock, place: string, name: string): boolean {
  for (
    let from = place;
    ;
    from = from.slice(0, Math.max(0, from.lastIndexOf('node_modules/') - 1))
  ) {
    const candidate = `${from === '' ? '' : `${from}/`}node_modules/${name}`;
    if (lock.packages[candidate] !== undefined) return true;
    if (from === '') return false;
  }
}

/** Such packages are named by their platform: `@swc/core-linux-x64-musl`. */
function platformOf(name: string) {
  const words = name.split(/[/-]/);
  const systems = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
  const processors = ['arm', 'arm64', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64'];
  const os = words.find((word) => systems.includes(word));
  const cpu = words.find((word) => processors.includes(word));
  if (os === undefined || cpu === undefined) throw new Error(`${name} names no platform`);
  const isMusl = words.some((word) => word.startsWith('musl'));
  const isGlibc = words.some((word) => word.startsWith('gnu'));
  return { os, cpu, libc: isMusl ? 'musl' : isGlibc ? 'glibc' : undefined };
}
