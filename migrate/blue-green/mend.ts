import {
  announce,
  ask,
  forgetReady,
  note,
  open,
  readControl,
  release,
  unfence,
} from './control.ts';
import type { Database, Side } from './database.ts';
import { Failure } from './failure.ts';
import type { Report } from './migration.ts';
import { mendingOf } from './state.ts';

/**
 * Ends what a tool that died in a switch has left: lifts its fence, or opens the side that the other
 * has retired for. Only the holder of the lock does this.
 */
export async function mend(blue: Database, green: Database, report: Report): Promise<void> {
  const rows = { blue: await readControl(blue.main), green: await readControl(green.main) };
  if (rows.blue === undefined || rows.green === undefined) return;
  const wound = (side: Side) => ({
    state: rows[side]?.state ?? 'copy',
    epoch: rows[side]?.epoch ?? 0,
    hasOpeningKey: rows[side]?.openingKey != null,
  });
  const mending = mendingOf(wound('blue'), wound('green'));
  const at = (side: Side) => (side === 'blue' ? blue : green);
  if (mending.mend === 'unfence') {
    const other = mending.side === 'blue' ? green : blue;
    // Where a client was faster, the fence is lifted all the same.
    await unfence(at(mending.side).main, null);
    await forgetReady(other.main);
    await note(green, 'mended', { fence: 'lifted', side: mending.side });
    report.line(`a switch had died: the fence on ${mending.side} is lifted, it is live`);
  }
  if (mending.mend === 'open') {
    const key = mending.side === 'blue' ? rows.green.openingKey : rows.blue.openingKey;
    if (key === null) throw new Error('a retired side without a key');
    await open(at(mending.side).main, key);
    const now = await readControl(at(mending.side).main);
    if (now?.state !== 'live') {
      throw new Failure(
        `${mending.side} does not open by the key that the other side published. Nothing writes ` +
          'to either. Compare migrate.control in both, and open the right one by migrate.open().',
      );
    }
    await note(green, 'mended', { opened: mending.side });
    report.line(`a switch had died after the old side retired: ${mending.side} is open`);
  }
  for (const database of [blue, green]) {
    await release(database.main);
    await announce(database.main, false, 1_000);
    // What an earlier tool was asked is not meant for this one.
    await ask(database.main, null);
  }
}
