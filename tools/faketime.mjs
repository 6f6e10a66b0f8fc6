// Plain JavaScript without dependencies, as install.mjs.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { isOurDebian } from './install.mjs';

const places = ['x86_64', 'aarch64'].map(
  (machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`,
);

/** The library that gives a process a wrong clock, or '' where there is none. */
export function faketimePath() {
  return places.find((place) => existsSync(place)) ?? '';
}

/**
 * Makes sure of libfaketime where that is ours to do: as root on Debian. Elsewhere it says what is
 * missing, and the property test runs with true clocks.
 */
export function provideFaketime() {
  if (faketimePath() !== '') return;
  if (!isOurDebian()) {
    console.log('No libfaketime here: clocks stay true in the property test. Install faketime.');
    return;
  }
  console.log('Installing libfaketime for the property test (apt-get install faketime).');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', 'faketime']]) {
    spawnSync('apt-get', ['-q', ...args], { stdio: 'inherit', env });
  }
}
