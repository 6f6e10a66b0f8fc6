/** Longest text of a duration, in characters. */
const durationCharsMax = 64;

const nanosecond = 1n;
const microsecond = 1000n * nanosecond;
const millisecond = 1000n * microsecond;
const second = 1000n * millisecond;
const minute = 60n * second;
const hour = 60n * minute;
/** Go keeps durations in 63 bits of nanoseconds, some 292 years. */
const nanosecondsMax = 2n ** 63n - 1n;

const units: Readonly<Record<string, bigint>> = {
  ns: nanosecond,
  us: microsecond,
  µs: microsecond,
  μs: microsecond,
  ms: millisecond,
  s: second,
  m: minute,
  h: hour,
};

/**
 * Nanoseconds in a Go duration such as `1h`, `1h30m` or `1.5s` (Hydra's NullDuration: no sign, a
 * unit with every number), or undefined for any other text.
 */
export function parseGoDuration(text: string): bigint | undefined {
  if (text === '' || text.length > durationCharsMax) return undefined;
  const part = /([0-9]+)(?:\.([0-9]+))?(ns|us|µs|μs|ms|s|m|h)/y;
  let total = 0n;
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    const unit = units[match?.[3] ?? ''];
    if (match === null || unit === undefined) return undefined;
    total += BigInt(match[1] ?? '0') * unit + fraction(match[2] ?? '', unit);
  }
  return total <= nanosecondsMax ? total : undefined;
}

/** The canonical text that Go prints and Hydra answers with: `1h` becomes `1h0m0s`. */
export function formatGoDuration(nanoseconds: bigint): string {
  if (nanoseconds === 0n) return '0s';
  if (nanoseconds < microsecond) return `${nanoseconds}ns`;
  if (nanoseconds < millisecond) return `${decimal(nanoseconds, microsecond)}µs`;
  if (nanoseconds < second) return `${decimal(nanoseconds, millisecond)}ms`;
  const hours = nanoseconds / hour;
  const minutes = (nanoseconds % hour) / minute;
  const seconds = `${decimal(nanoseconds % minute, second)}s`;
  if (hours > 0n) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0n ? `${minutes}m${seconds}` : seconds;
}

/** Whole seconds in a duration, rounded down. */
export function wholeSeconds(nanoseconds: bigint): number {
  return Number(nanoseconds / second);
}

function fraction(digits: string, unit: bigint): bigint {
  return digits === '' ? 0n : (BigInt(digits) * unit) / 10n ** BigInt(digits.length);
}

function decimal(nanoseconds: bigint, unit: bigint): string {
  const rest = nanoseconds % unit;
  if (rest === 0n) return `${nanoseconds / unit}`;
  const digits = `${rest}`.padStart(`${unit}`.length - 1, '0').replace(/0+$/, '');
  return `${nanoseconds / unit}.${digits}`;
}
