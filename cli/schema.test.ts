import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { understand } from './arguments.ts';
import { commands } from './commands.ts';

async function lines(...argv: readonly string[]): Promise<readonly string[]> {
  const asked = understand(argv, commands);
  if (asked.asks !== 'run') throw new Error(`not understood: ${argv.join(' ')}`);
  const written: string[] = [];
  const out = (line: string) => written.push(line);
  await asked.command.run(asked.input, { out, error: out });
  return written.join('\n').split('\n');
}

test('schema lint --locks names the locks of every statement, also of allowed ones', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-drafts-'));
  const draft = [
    'alter table item add column more integer;',
    '-- migrate:commit',
    'create table fresh (id bigint); create index on fresh (id);',
    "copy item from '/tmp/rows';",
    '-- migrate:down',
    'alter table item drop column more;',
  ];
  try {
    await writeFile(join(directory, '0001_more.expand.sql'), draft.join('\n'));
    expect(await lines('schema', 'lint', '--directory', directory, '--locks')).toEqual([
      '0001_more (expand), line 1: item: ACCESS EXCLUSIVE, brief',
      '0001_more (expand), line 3: locks nothing that is in use',
      '0001_more (expand), line 3: locks nothing that is in use',
      '0001_more (expand), line 4: what it uses: not known',
      '0001_more (expand), down, line 6: item: ACCESS EXCLUSIVE, brief',
      expect.stringContaining('line 4: [unknown-statement]'),
      '1 migrations: 1 refused, 0 allowed with a reason.',
    ]);
    const told = await lines('schema', 'lint', '--directory', directory, '--locks', '--json');
    expect(JSON.parse(told.join('\n'))).toMatchObject({
      statements: [{ locks: [{ relation: 'item', lock: 'ACCESS EXCLUSIVE' }] }, {}, {}, {}, {}],
      findings: [{ rule: 'unknown-statement' }],
    });
  } finally {
    await rm(directory, { recursive: true });
  }
});
