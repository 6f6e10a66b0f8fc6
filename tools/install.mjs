// Plain JavaScript without dependencies: it runs on whatever Node is there, before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/** The Node that package-lock.json pins. Start everything else with it. */
export const pinnedNode = path.join(root, 'node_modules', '.bin', 'node');

/**
 * Installs what package-lock.json says, unless it is there: `run`, what Gatehouse needs to run, or
 * `everything`, tests and checks too. Adds to what is there, so that a server that runs from here
 * keeps its files. Ends the process where that fails.
 *
 * @param {'run' | 'everything'} what
 */
export function install(what) {
  const missing = whatIsMissing(what);
  if (missing === undefined) return;
  const isBare = !existsSync(path.join(root, 'node_modules', '.package-lock.json'));
  const kind = what === 'run' && !holdsTools() ? '--omit=dev' : '--include=dev';
  const options = [kind, '--no-audit', '--no-fund', '--loglevel=error'];
  const add = ['install', '--no-save', ...options];
  console.log(`Installing packages (npm ${isBare ? 'ci' : 'install'} ${kind}): ${missing}.`);
  if (npm(isBare ? ['ci', ...options] : add).status !== 0) {
    // npm ci also refuses a lock file without packages that only other platforms need.
    if (isBare) console.log('npm ci failed. Trying npm install, which takes the same versions.');
    if (!isBare || npm(add).status !== 0) {
      give('npm install failed; its messages are above. Mend that, then run this command again.');
    }
  }
  const still = whatIsMissing(what);
  if (still === undefined) return;
  give(
    `After the installation: ${still}. If npm ignores install scripts here, run ` +
      'npm rebuild --ignore-scripts=false, then this command again.',
  );
}

/** Where somebody works on Gatehouse, `npm start` leaves their tools alone. */
function holdsTools() {
  return [...packagesIn('node_modules/.package-lock.json').values()].some((entry) => entry.dev);
}

/**
 * @param {string} sentence
 * @returns {never}
 */
function give(sentence) {
  console.error(sentence);
  process.exit(1);
}

/**
 * @param {'run' | 'everything'} what
 * @returns {string | undefined} why npm has to run
 */
function whatIsMissing(what) {
  if (!existsSync(path.join(root, 'node_modules'))) return 'node_modules is not there';
  const installed = packagesIn('node_modules/.package-lock.json');
  for (const [place, wanted] of packagesIn('package-lock.json')) {
    const found = installed.get(place);
    if (place === '' || (found === undefined && wanted.optional)) continue;
    if (found === undefined && wanted.dev && what === 'run') continue;
    const name = place.replace(/^.*node_modules\//, '');
    if (found === undefined) return `${name} is missing`;
    if (found.version !== wanted.version) return `${name} ${wanted.version} is missing`;
  }
  const wanted = packagesIn('package-lock.json').get('node_modules/node')?.version;
  const { stdout } = spawnSync(pinnedNode, ['--version'], { encoding: 'utf8' });
  if (stdout?.trim() !== `v${wanted}`) return `Node ${wanted} is missing`;
  return undefined;
}

/**
 * @param {string} file
 * @returns {Map<string, { version: string | undefined, optional: boolean, dev: boolean }>}
 */
function packagesIn(file) {
  const lock = path.join(root, file);
  if (!existsSync(lock)) return new Map();
  const { packages } = JSON.parse(readFileSync(lock, 'utf8'));
  return new Map(
    Object.entries(packages).map(([place, entry]) => [
      place,
      {
        version: entry.version,
        optional: Boolean(entry.optional || entry.devOptional),
        dev: Boolean(entry.dev),
      },
    ]),
  );
}

/** @param {string[]} args */
function npm(args) {
  // Not the Node of node_modules, which `npm run` puts first in PATH: npm ci removes it.
  const own = path.join(root, 'node_modules');
  const directories = (process.env.PATH ?? '').split(path.delimiter);
  const PATH = directories.filter((entry) => !entry.startsWith(own)).join(path.delimiter);
  const options = /** @type {const} */ ({ cwd: root, stdio: 'inherit' });
  const env = { ...process.env, PATH };
  return spawnSync('npm', args, { ...options, env, shell: process.platform === 'win32' });
}

/** True where packages of the system are ours to install: as root on Debian. */
export function isOurDebian() {
  if (process.getuid?.() !== 0 || !existsSync('/etc/os-release')) return false;
  return /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'));
}
