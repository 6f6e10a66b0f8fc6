// Plain JavaScript without dependencies, as install.mjs.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** npm ends on a signal of its own without telling us; how often we look whether it is still there. */
const parentCheckMs = 500;
/** A signal that is repeated within this time is the same wish, told by the group and by npm. */
const sameWishMs = 2_000;

/**
 * Runs a program with our terminal and gives its exit code. It gets each signal once: it is in a
 * session of its own, out of reach of signals to npm's process group, and what reaches us is
 * passed on. If we are killed, a shell that reads a pipe only we hold ends it;
 * if whoever called us is gone, it is ended too.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>}
 */
export function run(command, args, options) {
  const posix = process.platform !== 'win32';
  const child = spawn(command, args, { ...options, stdio: 'inherit', detached: posix });
  const dismiss = posix && child.pid !== undefined ? watch(child.pid) : () => {};
  let lastMs = Number.NEGATIVE_INFINITY;
  /** @param {NodeJS.Signals} signal */
  const forward = (signal) => {
    if (performance.now() - lastMs < sameWishMs) return;
    lastMs = performance.now();
    child.kill(signal);
  };
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
  for (const signal of signals) process.on(signal, forward);
  const parent = process.ppid;
  const lookout = setInterval(() => {
    if (process.ppid !== parent) forward('SIGTERM');
  }, parentCheckMs);
  return new Promise((resolve) => {
    /** @param {number} code */
    const end = (code) => {
      clearInterval(lookout);
      for (const signal of signals) process.off(signal, forward);
      dismiss();
      resolve(code);
    };
    child.once('error', (error) => {
      console.error(`${command} could not be started: ${error.message}`);
      end(127);
    });
    child.once('exit', (code, signal) => {
      end(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

/**
 * @param {number} pid
 * @returns {() => void}
 */
function watch(pid) {
  const script = 'read -r line || kill -TERM "$1"';
  const watchdog = spawn('/bin/sh', ['-c', script, 'gatehouse-watchdog', String(pid)], {
    cwd: '/',
    detached: true,
    env: {},
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watchdog.on('error', () => {});
  watchdog.stdin.on('error', () => {});
  return () => watchdog.stdin.end('done\n');
}
