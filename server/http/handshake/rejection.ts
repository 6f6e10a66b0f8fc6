import { isRefusal, type Refusal } from '#core/refusal.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import { readJson } from '#server/http/frame/body.ts';
import type { Rejection } from '#tokens/flow.ts';
import { readInput } from './input.ts';

/** Longest text of a rejection, in characters. */
export const rejectionCharsMax = 500;

/**
 * Reads Hydra's `rejectOAuth2Request`. Without an `error` the client is told `byDefault`, as Hydra
 * does; `error_debug` and `status_code` are for logs and are not sent on.
 */
export async function readRejection(c: Ctx, byDefault: string): Promise<Rejection | Refusal> {
  const read = await readJson(c);
  if (isRefusal(read)) return read;
  const input = readInput(read.body);
  const rejection = {
    error: input.text('error', rejectionCharsMax) || byDefault,
    description: input.text('error_description', rejectionCharsMax) ?? '',
    hint: input.text('error_hint', rejectionCharsMax) ?? '',
  };
  return input.fault() ?? rejection;
}
