// A process of its own that looks at both databases, past every proxy, and never hears of the tool:
// it asks whether both are live, tries writes on both, and has on each side a superuser who goes on
// writing there whatever happens.

import { z } from 'zod';
import { openSight } from './sight.ts';
import { startStraggler } from './straggler.ts';

const request = z.discriminatedUnion('ask', [
  z.object({ ask: z.literal('begin'), blue: z.string(), green: z.string() }),
  /** Both sides are guarded from here on. */
  z.object({ ask: z.literal('guarded') }),
  /** The guard is about to go. */
  z.object({ ask: z.literal('end') }),
]);

export const testimony = z.object({
  /** What must never be seen: sentences. */
  twoLive: z.array(z.string()),
  /** Ids of what the stragglers were told was written. */
  acknowledged: z.array(z.string()),
  /** Writes that were refused with MG001. */
  refused: z.number(),
  /** How often both sides were looked at. */
  looks: z.number(),
  /** Each standing once, in order. */
  standings: z.array(z.string()),
});

export type Testimony = z.infer<typeof testimony>;

interface Watching {
  readonly urls: { readonly blue: string; readonly green: string };
  readonly sight: ReturnType<typeof openSight>;
  readonly stragglers: ReturnType<typeof startStraggler>[];
}

if (process.send !== undefined) serve();

function serve(): void {
  let watching: Watching | undefined;
  const answer = async (message: unknown): Promise<Testimony | undefined> => {
    const asked = request.parse(message);
    if (asked.ask === 'begin') {
      const urls = { blue: asked.blue, green: asked.green };
      watching = {
        urls,
        sight: openSight(urls),
        stragglers: [startStraggler('blue', urls.blue)],
      };
      return undefined;
    }
    if (watching === undefined) throw new Error('nothing is watched');
    if (asked.ask === 'guarded') {
      watching.sight.guarded();
      watching.stragglers.push(startStraggler('green', watching.urls.green));
      return undefined;
    }
    const tallies = await Promise.all(watching.stragglers.map((straggler) => straggler.stop()));
    const seen = await watching.sight.close();
    watching = undefined;
    return {
      ...seen,
      acknowledged: tallies.flatMap((tally) => [...tally.acknowledged]),
      refused: tallies.reduce((sum, tally) => sum + tally.refused, 0),
    };
  };
  process.on('message', (message) => {
    answer(message).then(
      (said) => process.send?.({ said }),
      (error: unknown) => process.send?.({ failed: String(error) }),
    );
  });
  process.on('disconnect', () => process.exit(0));
}
