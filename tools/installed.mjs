// Before a command that is run without `npm start`: installs what it takes to run, unless it is there.
// Plain JavaScript without dependencies, as install.mjs.
import { install } from './install.mjs';

install('run');
