/**
 * The advisory lock under which facts are numbered. It is held until the commit, so facts commit in
 * the order of their numbers, and a poll for `seq > cursor` misses none (hot path 6).
 */
export const factLock = 4_744_001;

/**
 * The beginning of every statement that numbers facts: the lock comes before any row is touched, so
 * that no two of them wait for each other in a circle.
 */
export const locked = `locked as materialized (
  select pg_advisory_xact_lock(${factLock}) is not null as held
)`;
