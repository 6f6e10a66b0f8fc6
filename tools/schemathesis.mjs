// Plain JavaScript without dependencies, as install.mjs.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { isOurDebian, root } from './install.mjs';

const requirements = path.join(root, 'e2e', 'schemathesis', 'requirements.txt');

/** A virtual environment of its own per set of pinned packages. */
function environment() {
  const digest = createHash('sha256').update(readFileSync(requirements)).digest('hex');
  return path.join(root, 'node_modules', '.cache', `schemathesis-${digest.slice(0, 12)}`);
}

/** The program that calls the API by its description, or undefined where it is not installed. */
export function schemathesisPath() {
  const program = path.join(environment(), 'bin', 'schemathesis');
  return existsSync(program) ? program : undefined;
}

/**
 * Installs Schemathesis from PyPI, and Python's venv from Debian where that is ours to do. Elsewhere
 * it says what is missing, and the tests that need it are skipped.
 *
 * @returns {boolean} true: a test that is skipped is a failure
 */
export function provideSchemathesis() {
  if (schemathesisPath() === undefined && process.platform === 'linux') install();
  if (schemathesisPath() !== undefined) return isOurDebian();
  console.log(
    'No Schemathesis here: the tests that call the API by its description are skipped. ' +
      'They need Linux, Python 3.10 or newer with venv, and PyPI.',
  );
  return isOurDebian();
}

function install() {
  const place = environment();
  console.log('Installing Schemathesis for the API tests (pip, in a virtual environment).');
  if (!makesEnvironment(place) && isOurDebian()) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    spawnSync('apt-get', ['-q', 'update'], { stdio: 'inherit', env });
    const packages = ['install', '-y', '--no-install-recommends', 'python3-venv'];
    spawnSync('apt-get', ['-q', ...packages], { stdio: 'inherit', env });
    makesEnvironment(place);
  }
  const pip = path.join(place, 'bin', 'pip');
  const quiet = ['install', '--quiet', '--disable-pip-version-check'];
  const { status } = spawnSync(pip, [...quiet, '-r', requirements], { stdio: 'inherit' });
  // Half an installation must not be taken for a whole one.
  if (status !== 0) rmSync(place, { recursive: true, force: true });
}

/** @param {string} place */
function makesEnvironment(place) {
  rmSync(place, { recursive: true, force: true });
  return spawnSync('python3', ['-m', 'venv', place], { stdio: 'ignore' }).status === 0;
}

/** Requests per operation: few in an ordinary run, more by `npm run fuzz`. */
export const schemathesisExamples = process.env.GATEHOUSE_FUZZ_EXAMPLES ?? '6';
