import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type Shape, startWriters } from './writers.ts';

const ledgerSchema = z.object({
  acknowledged: z.array(z.string()),
  refused: z.number(),
  slowestMs: z.number(),
  twoLive: z.number(),
});
const countSchema = z.object({ count: z.number() });
const orderSchema = z.enum(['count', 'stop']);

/** Writers in a process of their own, so that they do not take the tool's time. */
export function startWritersApart(
  pair: Readonly<Record<'blue' | 'green', string>>,
  count: number,
  pauseMs: number,
  shape: Shape = 'other shape',
) {
  const child = fork(fileURLToPath(import.meta.url), [
    pair.blue,
    pair.green,
    String(count),
    String(pauseMs),
    shape,
  ]);
  const answer = async (order: z.infer<typeof orderSchema>) => {
    const said = once(child, 'message');
    child.send(order);
    const [message]: readonly unknown[] = await said;
    return message;
  };
  return {
    async acknowledged() {
      return countSchema.parse(await answer('count')).count;
    },
    async stop() {
      const ledger = ledgerSchema.parse(await answer('stop'));
      child.disconnect();
      return ledger;
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [blue = '', green = '', count, pauseMs, shape] = process.argv.slice(2);
  const writers = startWriters(
    { blue, green },
    Number(count),
    Number(pauseMs),
    shape === 'same shape' ? shape : 'other shape',
  );
  process.on('disconnect', () => process.exit());
  process.on('message', async (message) => {
    const send = (value: object) => process.send?.(value);
    if (orderSchema.parse(message) === 'count') {
      send({ count: writers.ledger.acknowledged.size });
      return;
    }
    const ledger = await writers.stop();
    send({ ...ledger, acknowledged: [...ledger.acknowledged], unknown: [...ledger.unknown] });
  });
}
