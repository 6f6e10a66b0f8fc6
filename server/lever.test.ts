import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestNode, type TestNode } from '#server/testing/node.ts';
import { createLever, type Lever } from './lever.ts';

let short: { node: TestNode; lever: Lever };
let long: { node: TestNode; lever: Lever };
beforeAll(async () => {
  const one = await openTestNode();
  const other = await openTestNode({ beside: one });
  const leverOf = ({ node }: TestNode, accessTokenSeconds: number) =>
    createLever({ ...node, accessTokenSeconds });
  short = { node: one, lever: leverOf(one, 60) };
  long = { node: other, lever: leverOf(other, 3600) };
});
afterAll(async () => {
  for (const one of [long, short]) {
    one?.lever.close();
    await one?.node.close();
  }
});

const inForce = () =>
  short.node.node.database.query<{ seconds: number }>(
    { name: 'test_seconds', text: 'select o.access_seconds_max as seconds from control o' },
    [],
  );

async function nobodySaid(): Promise<void> {
  await short.node.node.database.query(
    {
      name: 'test_silence',
      text: `update control set access_asserted_at = now() - interval '1 hour' where singleton`,
    },
    [],
  );
}

test('a longer lifetime is in force before the first token that has it', async () => {
  await short.lever.permit(60);
  expect(short.lever.permit(60)).toBeUndefined();
  const wait = long.lever.permit(3600);
  expect(wait).toBeInstanceOf(Promise);
  await Promise.all([wait, long.lever.permit(1800), long.lever.permit(3600)]);
  expect(await inForce()).toEqual([{ seconds: 3600 }]);
  expect(long.lever.permit(3600)).toBeUndefined();
});

test('nodes of different settings: the longest holds while its node speaks', async () => {
  await nobodySaid();
  await long.lever.settle();
  await short.lever.settle();
  expect(await inForce()).toEqual([{ seconds: 3600 }]);
});

test('a node that slept while the lifetime fell issues nothing longer before it rises again', async () => {
  await nobodySaid();
  await short.lever.settle();
  expect(await inForce()).toEqual([{ seconds: 60 }]);
  await long.node.node.feed.born();
  const wait = long.lever.permit(3600);
  expect(wait).toBeInstanceOf(Promise);
  await wait;
  expect(await inForce()).toEqual([{ seconds: 3600 }]);
});

test('a client’s lifespan counts for as long as it is used', async () => {
  await short.lever.permit(7200);
  await nobodySaid();
  await short.lever.settle();
  expect(await inForce()).toEqual([{ seconds: 7200 }]);
  await nobodySaid();
  await short.lever.settle();
  expect(await inForce()).toEqual([{ seconds: 60 }]);
});
