import type { Refusal } from '#core/refusal.ts';
import type { Failpoints } from '#server/failpoints.ts';
import type { Ctx } from '#server/http/frame/answer.ts';
import type { Lever } from '#server/lever.ts';
import type { Node } from '#server/node.ts';
import type { RateLimits } from '#server/operation/rate-limits.ts';
import type { Writes } from '#server/writes.ts';

/** A node with what only the protocol's endpoints need; wired once by the entry. */
export interface Engine extends Node {
  readonly writes: Writes;
  readonly lever: Lever;
  /** undefined: switched off. */
  readonly rateLimits: RateLimits | undefined;
  /** undefined: none is armed. */
  readonly failpoints: Failpoints | undefined;
  readonly pairwiseSalt: string;
  /** Shows a refusal to a person where no redirect is verified. The engine knows no pages. */
  readonly errorPage: (c: Ctx, refusal: Refusal) => Response | Promise<Response>;
}
