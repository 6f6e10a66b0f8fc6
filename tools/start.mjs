// `npm start`: installs what is missing to run, not what tests need beside, then starts Gatehouse with
// the Node that it is made for.
// Plain JavaScript: it must run on an older Node too.
import { run } from './child.mjs';
import { install, pinnedNode, root } from './install.mjs';

install('run');
process.exitCode = await run(pinnedNode, ['cli/main.ts', 'start', ...process.argv.slice(2)], {
  cwd: root,
});
