/** A time in which this machine did not let us run, as wall clock. */
export interface Stall {
  readonly fromMs: number;
  readonly toMs: number;
}

const tickMs = 50;
const lateMsMin = 250;
/** Whoever else did not run either needs so long to catch up. */
const recoveryMs = 3_000;

/**
 * Notes when a timer of this process comes late: then the application and the databases did not get
 * the processor either, and a time limit that they keep says nothing of them.
 */
export function watchStalls() {
  const stalls: Stall[] = [];
  let lastMs = Date.now();
  const timer = setInterval(() => {
    const nowMs = Date.now();
    if (nowMs - lastMs > tickMs + lateMsMin) {
      stalls.push({ fromMs: lastMs, toMs: nowMs + recoveryMs });
    }
    lastMs = nowMs;
  }, tickMs);
  timer.unref();
  return {
    stop(): readonly Stall[] {
      clearInterval(timer);
      return stalls;
    },
  };
}
