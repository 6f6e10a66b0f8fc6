import { expect, it, vi } from 'vitest';
import { debianPostgresPath } from '../../tools/debian-postgres.mjs';
import { replayRunbook } from './runbook.ts';
import { lastingLines, withoutFigures } from './transcript.ts';

// A whole migration with real processes: on a busy machine it takes its time.
vi.setConfig({ testTimeout: 600_000 });

const older = debianPostgresPath();

// `npm run migrate:runbook` writes what is printed now into the runbook and the pages of commands.
it.skipIf(older === '')('the runbook, line by line, prints what stands in it', async () => {
  const { printed } = await replayRunbook(older);
  expect(printed.size).toBeGreaterThan(25);
  for (const [step, output] of printed) {
    if (step.does !== 'run') continue;
    const found = lastingLines(output).map(withoutFigures);
    expect(found, `$ ${step.command}`).toEqual(step.printed.map(withoutFigures));
  }
});
