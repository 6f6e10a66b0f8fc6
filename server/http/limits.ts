import type { Engine } from '#server/engine.ts';
import type { LimitedEndpoint } from '#server/operation/rate-limits.ts';
import type { Ctx } from './answer.ts';
