// Plain JavaScript without dependencies, as install.mjs.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { isOurDebian } from './install.mjs';

const places = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** The browser that tests drive, or undefined where there is none. */
export function browserPath() {
  return places.find((place) => existsSync(place));
}

/**
 * Makes sure of a browser where that is ours to do: as root on Debian. Elsewhere it says what is
 * missing, and the tests that need it are skipped.
 *
 * @returns {boolean} true: a test that is skipped is a failure
 */
export function provideBrowser() {
  if (!isOurDebian()) {
    if (browserPath() === undefined) {
      console.log('No Chromium here: the browser tests are skipped. Install Chromium to run them.');
    }
    return false;
  }
  if (browserPath() === undefined) {
    console.log('Installing Chromium for the browser tests (apt-get install chromium).');
    apt(['update']);
    apt(['install', '-y', '--no-install-recommends', 'chromium']);
  }
  if (browserPath() === undefined) {
    console.error('Chromium could not be installed; the messages of apt-get are above.');
  }
  return true;
}

/** @param {string[]} args */
function apt(args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  spawnSync('apt-get', ['-q', ...args], { stdio: 'inherit', env });
}
