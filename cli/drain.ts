/** What a drain may take beyond `drainSecondsMax` before it is cut off. */
export const drainSecondsSpare = 5;

/** Waits for `work`, at most so long; false: it took longer. */
export async function inTime(work: Promise<unknown>, secondsMax: number): Promise<boolean> {
  let deadline: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    deadline = setTimeout(() => resolve(false), secondsMax * 1000);
  });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(deadline);
  }
}
