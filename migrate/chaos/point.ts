import { z } from 'zod';

/**
 * Where a tool stops itself: at a statement that it sends. The shipped tool knows nothing of it; see
 * stop-at-point.ts.
 */
export const pointShape = z.object({
  name: z.string(),
  /** Regular expressions of statements that follow each other; the last one is where it stops. */
  statements: z.array(z.string()).min(1),
  /** The how manieth time, from 1. */
  visit: z.number().int().min(1),
  /** Before it is sent; when it was sent and nobody heard the answer; when the answer is there. */
  moment: z.enum(['before', 'sent', 'after']),
});

export type Point = z.infer<typeof pointShape>;

/** In the URL of stop-at-point.ts: the point, as JSON. */
export const pointParameter = 'point';

/** What a tool that stops itself writes to stderr before. */
export const stopMark = 'stopped at';
