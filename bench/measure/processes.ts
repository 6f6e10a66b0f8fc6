import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process tree is named by its root; what the root has started belongs to it. */
interface ProcessStat {
  readonly parent: number;
  /** User and system time in seconds, of itself and of children that have ended. */
  readonly cpuSeconds: number;
}

/** Ticks of /proc/<pid>/stat per second: 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;
const pageBytes = 4096;

/** The root and what runs below it. */
export function processesOf(root: number): readonly number[] {
  const all = readProcesses();
  return [...all.keys()].filter((pid) => isBelow(pid, root, all));
}

/** User and system CPU seconds of a process tree so far. */
export function cpuSecondsOf(root: number): number {
  const all = readProcesses();
  let sum = 0;
  for (const [pid, { cpuSeconds }] of all) if (isBelow(pid, root, all)) sum += cpuSeconds;
  return sum;
}

/** Resident memory of a process; 0 when it is gone. */
export function residentBytes(pid: number): number {
  return Number(textOf(`/proc/${pid}/statm`).split(' ')[1] ?? 0) * pageBytes;
}

/** Open file descriptors of a process. */
export function handlesOf(pid: number): number {
  return entriesOf(`/proc/${pid}/fd`).length;
}

/** Connections to these ports of this machine that nobody has ended, over IPv4 or IPv6. */
export function connectionsTo(ports: readonly number[]): number {
  const established = '01';
  const rows = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => textOf(path).split('\n'));
  return rows.filter((row) => {
    const [, local = '', , state] = row.trim().split(/\s+/);
    const port = Number.parseInt(local.split(':')[1] ?? '', 16);
    return state === established && ports.includes(port);
  }).length;
}

/** What a process runs: the last part of its path. */
export function programOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`).split('/').at(-1) ?? '';
  } catch {
    return '';
  }
}

/** Load average of the last minute, and the share of CPU time that neighbours of this virtual machine took. */
export function machineLoad(): { readonly load: number; readonly stolenSeconds: number } {
  const load = Number(textOf('/proc/loadavg').split(' ')[0] ?? 0);
  const cpu = textOf('/proc/stat').split('\n')[0]?.split(/\s+/) ?? [];
  return { load, stolenSeconds: Number(cpu[8] ?? 0) / ticksPerSecond };
}

function readProcesses(): ReadonlyMap<number, ProcessStat> {
  const found = new Map<number, ProcessStat>();
  for (const entry of entriesOf('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = textOf(`/proc/${entry}/stat`);
    // The name in brackets may hold anything; what follows its last bracket are numbers.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index] ?? 0), 0);
    if (stat !== '') {
      found.set(Number(entry), { parent: Number(fields[1]), cpuSeconds: ticks / ticksPerSecond });
    }
  }
  return found;
}

function isBelow(pid: number, root: number, all: ReadonlyMap<number, ProcessStat>): boolean {
  for (let at: number | undefined = pid; at !== undefined && at > 0; at = all.get(at)?.parent) {
    if (at === root) return true;
  }
  return false;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function entriesOf(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
