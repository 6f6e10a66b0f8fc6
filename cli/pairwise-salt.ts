import { recorded } from '#server/audit/operator.ts';
import { readConfig } from '#server/config/environment.ts';
import { forgetPairwiseSalt } from '#server/pairwise-salt.ts';
import type { Input, Terminal } from './command.ts';
import { reachableAddresses } from './database.ts';
import { databaseFailure } from './failure.ts';

/** `gatehouse pairwise-salt forget` */
export async function pairwiseSaltForget(input: Input, terminal: Terminal): Promise<number> {
  if (!input.flag('yes')) {
    terminal.out('With another salt every pairwise app sees strangers in place of its users.');
    terminal.out('Nothing was changed. To do it: the same command with --yes.');
    return 1;
  }
  const { url, setting } = (await reachableAddresses(readConfig())).server;
  const change = { action: 'pairwise_salt.forget', targetKind: 'deployment', detail: {} } as const;
  try {
    await recorded(
      url,
      change,
      () => forgetPairwiseSalt(url),
      () => '',
    );
  } catch (error) {
    throw databaseFailure(error, url, setting);
  }
  terminal.out('Forgotten. The next node that starts says which pairwise salt is right.');
  return 0;
}
