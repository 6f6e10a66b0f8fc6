// Plain JavaScript without dependencies, as install.mjs.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { isOurDebian } from './install.mjs';

const directory = '/usr/lib/postgresql/15';

/** Where Debian's PostgreSQL 15 lies, or '' where there is none. */
export function debianPostgresPath() {
  return existsSync(`${directory}/bin/postgres`) ? directory : '';
}

/**
 * Makes sure of an older PostgreSQL to migrate from, where that is ours to do: as root on Debian.
 * Only its programs are used: no cluster is made, nothing is started.
 */
export function provideDebianPostgres() {
  if (debianPostgresPath() !== '') return;
  if (!isOurDebian()) {
    console.log(
      'No PostgreSQL 15 here: migrate is tested within one version. Install postgresql-15.',
    );
    return;
  }
  console.log('Installing PostgreSQL 15 for the tests of migrate (apt-get install postgresql-15).');
  const settings = '/etc/postgresql-common/createcluster.d';
  mkdirSync(settings, { recursive: true });
  writeFileSync(`${settings}/gatehouse-tests.conf`, 'create_main_cluster = false\n');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', 'postgresql-15']]) {
    spawnSync('apt-get', ['-q', ...args], { stdio: 'inherit', env });
  }
}
