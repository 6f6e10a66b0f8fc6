import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Settings of a PostgreSQL that writes the plan of each statement it has run, as JSON, to its log. */
export const explainSettings = {
  session_preload_libraries: 'auto_explain',
  // `auto_explain.log_min_duration` is left at its -1, and switched where plans are wanted.
  'auto_explain.log_analyze': 'on',
  'auto_explain.log_buffers': 'on',
  'auto_explain.log_timing': 'off',
  'auto_explain.log_format': 'json',
  'auto_explain.log_parameter_max_length': '0',
  log_line_prefix: '%%%d %a%% ',
} as const;

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly 'Actual Rows'?: number;
  readonly 'Actual Loops'?: number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Shared Hit Blocks'?: number;
  readonly 'Shared Read Blocks'?: number;
  readonly Operation?: string;
  readonly Plans?: readonly PlanNode[];
}

/** One statement as it was run. */
export interface Executed {
  readonly database: string;
  readonly application: string;
  readonly text: string;
  /** Pages of 8 KiB that it touched, in memory or not. */
  readonly buffers: number;
  /** Descents of an index: scans by loops, and one per index and row that was inserted. */
  readonly probes: number;
  /** What reads a table, or a whole index, from end to end. */
  readonly scans: readonly Scan[];
}

export interface Scan {
  readonly table: string;
  readonly how: 'Seq Scan' | 'whole index';
  readonly rows: number;
}

/** Reads what was run since the last call from PostgreSQL's log. */
export function openPlanLog(path: string): { read(): readonly Executed[] } {
  let offset = 0;
  return {
    read() {
      const file = openSync(path, 'r');
      try {
        const { size } = fstatSync(file);
        const bytes = Buffer.alloc(size - offset);
        readSync(file, bytes, 0, bytes.length, offset);
        offset = size;
        return executedIn(bytes.toString('utf8'));
      } finally {
        closeSync(file);
      }
    },
  };
}

/** The plans in a piece of log that begins and ends between two entries. */
export function executedIn(log: string): readonly Executed[] {
  return log.split(/^(?=%)/m).flatMap((entry) => {
    const match = /^%(\S*) (.*?)% LOG:\s+duration: .* plan:\n([\s\S]*)$/.exec(entry);
    if (match === null) return [];
    const [, database = '', application = '', json = ''] = match;
    const parsed: { 'Query Text': string; Plan: PlanNode } = JSON.parse(json);
    const nodes = nodesOf(parsed.Plan);
    return [
      {
        database,
        application,
        text: parsed['Query Text'],
        buffers: buffersOf(parsed.Plan),
        probes: nodes.reduce((sum, node) => sum + probesOf(node), 0),
        scans: nodes.flatMap(scanOf),
      },
    ];
  });
}

function nodesOf(node: PlanNode): readonly PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

const buffersOf = (node: PlanNode) =>
  (node['Shared Hit Blocks'] ?? 0) + (node['Shared Read Blocks'] ?? 0);

/** Indexes of a table that an insert descends; the arbiter of `on conflict` twice. */
const indexesOf: Readonly<Record<string, number>> = {
  session: 3,
  grant: 3,
  chain: 3,
  fact: 2,
  cutoff: 2,
};

function probesOf(node: PlanNode): number {
  const type = node['Node Type'];
  if (/Index/.test(type)) return node['Actual Loops'] ?? 0;
  if (type !== 'ModifyTable' || node.Operation !== 'Insert') return 0;
  const [source] = node.Plans ?? [];
  const rows = (source?.['Actual Rows'] ?? 0) * (source?.['Actual Loops'] ?? 0);
  return rows * (indexesOf[node['Relation Name'] ?? ''] ?? 1);
}

/** A handful of rows at the end of an index (the newest fact, the first slice) is no scan. */
const rowsOfScan = 1000;

function scanOf(node: PlanNode): readonly Scan[] {
  const rows =
    ((node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0)) *
    (node['Actual Loops'] ?? 0);
  const table = node['Relation Name'] ?? node['Index Name'] ?? '';
  if (node['Node Type'] === 'Seq Scan' && (node['Actual Loops'] ?? 0) > 0)
    return [{ table, how: 'Seq Scan', rows }];
  const isIndex = /^(Index|Bitmap Index)/.test(node['Node Type']);
  if (isIndex && rows >= rowsOfScan) return [{ table, how: 'whole index', rows }];
  return [];
}
