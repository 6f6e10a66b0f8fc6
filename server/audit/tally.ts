import type { AuditAction } from './actions.ts';
import { type Actor, type AuditEntry, anonymous, type Target } from './entry.ts';

/** An event that is counted rather than written each time. */
export interface Tallied {
  readonly action: AuditAction;
  /** Absent: nobody has proven who they are. */
  readonly actor?: Actor;
  readonly target: Target;
  readonly reason?: string;
  readonly requestId: string;
  readonly address: string;
}

const windowMs = 60_000;
/**
 * Events of one action told apart in one window, so an attacker writes so many entries a minute. By
 * action: who guesses at clients in a crowd does not hide a stolen credential.
 */
export const keysMax = 30;

interface Counted {
  readonly entry: AuditEntry;
  more: number;
}

/**
 * Counts events by action, actor, target, reason and address. The first of each is written as it comes;
 * when the minute is over, one entry says how many more there were. Beyond {@link keysMax} of one
 * action in a minute, its others share an entry without target and address.
 */
export function createTally(write: (entry: AuditEntry) => Promise<void>): {
  count(event: Tallied): void;
  flush(): Promise<void>;
} {
  let counted = new Map<string, Counted>();
  let toldApart = new Map<AuditAction, number>();
  let timer: NodeJS.Timeout | undefined;
  const writing = new Set<Promise<void>>();

  function send(entry: AuditEntry): void {
    const work: Promise<void> = write(entry).finally(() => writing.delete(work));
    writing.add(work);
  }

  function closeWindow(): void {
    clearTimeout(timer);
    timer = undefined;
    const over = counted;
    counted = new Map();
    toldApart = new Map();
    for (const { entry, more } of over.values()) {
      if (more > 0) send({ ...entry, count: more, detail: { repeated_within_seconds: 60 } });
    }
  }

  return {
    count(event) {
      timer ??= setTimeout(closeWindow, windowMs).unref();
      const { action, actor = anonymous, target, reason = '', address } = event;
      const key = [action, actor.kind, actor.id, target.kind, target.id, reason, address].join(
        '\n',
      );
      const known = counted.get(key);
      if (known !== undefined) {
        known.more += 1;
        return;
      }
      const others = toldApart.get(action) ?? 0;
      if (others < keysMax) {
        toldApart.set(action, others + 1);
        const entry = entryOf(event);
        counted.set(key, { entry, more: 0 });
        send(entry);
        return;
      }
      const crowd = counted.get(action);
      if (crowd !== undefined) crowd.more += 1;
      else counted.set(action, { entry: crowdOf(event), more: 1 });
    },
    async flush() {
      closeWindow();
      await Promise.all(writing);
    },
  };
}

function entryOf({ actor = anonymous, ...event }: Tallied): AuditEntry {
  return { ...event, actor, outcome: 'refused' };
}

function crowdOf({ action, target }: Tallied): AuditEntry {
  return { action, outcome: 'refused', actor: anonymous, target: { kind: target.kind, id: '' } };
}
