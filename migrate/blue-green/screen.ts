import type { Progress, Report } from './migration.ts';

/** Where lines go. */
export interface Terminal {
  write(text: string): void;
  readonly isTerminal: boolean;
  /** As wide as it is now. */
  columns(): number;
  nowMs(): number;
}

/** A report that ends: what else is written does not stand behind what was drawn last. */
export interface Screen extends Report {
  end(): void;
}

/** Plain lines say progress this often. */
const lineEveryMs = 5_000;
const drawEveryMs = 200;

/** On a terminal one line that is drawn again; elsewhere a line every few seconds; mute for --json. */
export function openReport(terminal: Terminal, mute: boolean): Screen {
  let lastMs = Number.NEGATIVE_INFINITY;
  let drawn = false;
  const wipe = () => {
    if (drawn) terminal.write('\r\u001b[2K');
    drawn = false;
  };
  return {
    line(text) {
      if (mute) return;
      wipe();
      terminal.write(`${text}\n`);
    },
    progress(progress) {
      const nowMs = terminal.nowMs();
      if (mute || nowMs - lastMs < (terminal.isTerminal ? drawEveryMs : lineEveryMs)) return;
      lastMs = nowMs;
      const text = progressLine(progress);
      if (!terminal.isTerminal) {
        terminal.write(`${text}\n`);
        return;
      }
      wipe();
      terminal.write(text.slice(0, Math.max(20, terminal.columns() - 1)));
      drawn = true;
    },
    end: wipe,
  };
}

/** Phase, rows, rate, lag and time left, as far as they are known. */
function progressLine(progress: Progress): string {
  const { rowsDone, rowsAll, rowsPerSecond, lagMs, pending } = progress;
  const parts = [progress.phase];
  if (rowsDone !== undefined && rowsAll !== undefined && rowsAll > 0) {
    const percent = Math.min(100, Math.floor((rowsDone / rowsAll) * 100));
    parts.push(`${rowsDone} of about ${rowsAll} rows (${percent} %)`);
  } else if (rowsDone !== undefined) {
    parts.push(`${rowsDone} rows`);
  }
  if (rowsPerSecond !== undefined) parts.push(`${Math.round(rowsPerSecond)} rows/s`);
  if (pending !== undefined) parts.push(`${pending} changes pending`);
  if (lagMs !== undefined) parts.push(`lag ${lagMs} ms`);
  if (rowsDone !== undefined && rowsAll !== undefined && rowsPerSecond) {
    const seconds = Math.max(0, Math.ceil((rowsAll - rowsDone) / rowsPerSecond));
    parts.push(`${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')} left`);
  }
  if (progress.slowed !== undefined) parts.push(`slowed (${progress.slowed})`);
  return parts.join(', ');
}
