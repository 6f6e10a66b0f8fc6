// `node tools/with.mjs <program> [arguments]`: installs what tests and checks need, unless it is there
// (npm start installs only what runs), then starts a program of node_modules/.bin.
// Plain JavaScript: it must run on an older Node too.
import path from 'node:path';
import { run } from './child.mjs';
import { install, root } from './install.mjs';

install('everything');
const [program = 'node', ...args] = process.argv.slice(2);
const bin = path.join(root, 'node_modules', '.bin');
const PATH = `${bin}${path.delimiter}${process.env.PATH ?? ''}`;
const env = { ...process.env, PATH };
process.exitCode = await run(path.join(bin, program), args, { cwd: root, env });
