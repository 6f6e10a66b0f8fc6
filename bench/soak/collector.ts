// Loaded into every process of the server that is soaked (`node --import`): collects its garbage now
// and then, and writes what is left. Directory and interval stand in the URL that it is loaded by.
import { appendFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const { gc } = globalThis;
if (gc === undefined) throw new Error('start node with --expose-gc, too');
const { searchParams } = new URL(import.meta.url);
const directory = fileURLToPath(searchParams.get('directory') ?? '');
const file = `${directory}/${process.pid}.jsonl`;

function collect(whole: NodeJS.GCFunction): void {
  // What V8 could give back, it gives back: else RSS is the highest that its heap ever was.
  whole({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  const { rss, heapUsed } = process.memoryUsage();
  const atMs = Number(process.hrtime.bigint() / 1_000_000n);
  const reading = { parent: process.ppid, atMs, rss, heapUsed };
  appendFileSync(file, `${JSON.stringify(reading)}\n`);
}

setInterval(() => collect(gc), Number(searchParams.get('everyMs'))).unref();
