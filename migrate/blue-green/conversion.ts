const moments = ['timestamp without time zone', 'timestamp with time zone'];
const whole = ['smallint', 'integer', 'bigint'];
const binary = ['real', 'double precision'];
const words = ['text', 'character varying', 'bpchar'];

/** What a cast does without a word, by what it comes from and goes to. */
const losses: readonly {
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly loss: string;
}[] = [
  { from: moments, to: ['date'], loss: 'lose the time of day' },
  {
    from: [...moments, 'interval'],
    to: ['time without time zone', 'time with time zone'],
    loss: 'lose the days',
  },
  { from: ['time with time zone'], to: ['time without time zone'], loss: 'lose the zone' },
  { from: ['integer', 'bigint', 'numeric', 'double precision'], to: ['real'], loss: 'lose digits' },
  { from: ['bigint', 'numeric'], to: ['double precision'], loss: 'lose digits' },
  { from: ['integer'], to: ['boolean'], loss: 'take every number but 0 for true' },
  { from: words, to: ['name', '"char"'], loss: 'lose what does not fit' },
  { from: ['inet'], to: ['cidr'], loss: 'lose the host' },
];
/** The same of arrays, whose members a projection of ours cannot turn into numbers one by one. */
const lossesInArrays: typeof losses = [
  ...losses,
  { from: [...binary, 'numeric'], to: whole, loss: 'round it' },
  { from: binary, to: ['numeric'], loss: 'lose digits' },
];

/**
 * What a value loses where a projection that gives type `from` fills a column of type `to` and says no
 * more; undefined: nothing. Types as PostgreSQL writes them.
 */
export function lossOf(from: string, to: string): string | undefined {
  const isArray = from.endsWith('[]') && to.endsWith('[]');
  const [ours, theirs] = isArray ? [member(from), member(to)] : [from, to];
  return (isArray ? lossesInArrays : losses).find(
    (known) => known.from.includes(ours) && known.to.includes(theirs),
  )?.loss;
}

/** Whether a time that is stored without its zone is taken for UTC on the way, or written in UTC. */
export function isTakenForUtc(from: string, to: string): boolean {
  const zoned = /^time(stamp)? with time zone$/;
  const unzoned = /^(time(stamp)? without time zone|date)$/;
  const [ours, theirs] = [member(from), member(to)];
  return (zoned.test(ours) && unzoned.test(theirs)) || (unzoned.test(ours) && zoned.test(theirs));
}

const member = (type: string) => type.replace(/\[\]$/, '');

/**
 * Whether a key that is text in the origin may be spelled otherwise than the destination writes it:
 * "007" is 7 there, and a row that is looked for by the one is not found by the other.
 */
export function isSpelledFreely(from: string, to: string): boolean {
  if (!words.includes(from) || from === to) return false;
  return to === 'bpchar' || !words.includes(to);
}
