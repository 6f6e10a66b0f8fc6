import * as fc from 'fast-check';

/** One drawn operation; what it works on is chosen among what is there, by numbers. */
export interface Operation {
  readonly kind: Kind;
  /** The node that is asked; what comes of it is looked at on the other. */
  readonly node: 0 | 1;
  readonly pick: number;
  readonly choice: number;
  /** What a race runs at the same time, at the other node; others choose their own, by `rivalPick`. */
  readonly rival: Exclude<Kind, 'race'>;
  readonly rivalPick: number;
}

const weights = {
  authorize: 9,
  advance: 5,
  refresh: 7,
  reuse: 4,
  replay_code: 2,
  replay_verifier: 2,
  client_credentials: 1,
  revoke_access_token: 2,
  revoke_refresh_token: 2,
  revoke_grant: 3,
  revoke_consents: 4,
  revoke_session: 1,
  revoke_subject: 2,
  revoke_client: 1,
  sign_out: 2,
  narrow: 4,
  delete_client: 2,
  recreate_client: 4,
  lifespan: 1,
  rotate_keys: 1,
  list_consents: 1,
  storm: 2,
  crowd: 3,
  overtake: 3,
  again: 3,
} as const;

export type Kind = keyof typeof weights | 'race';
/** What may run at the same time as something else: each is one request with its outcome. */
const rivals = {
  refresh: 5,
  advance: 5,
  revoke_access_token: 1,
  revoke_refresh_token: 3,
  revoke_grant: 2,
  revoke_consents: 2,
  revoke_session: 1,
  revoke_subject: 1,
  revoke_client: 1,
  sign_out: 1,
  narrow: 2,
  delete_client: 1,
} as const;

/** What a long enough run must have run. */
export const everyKind: readonly string[] = [
  ...Object.keys(weights),
  ...Object.keys(rivals).map((rival) => `race with ${rival}`),
];

function drawn<K extends string>(table: Readonly<Record<K, number>>): fc.Arbitrary<K> {
  const names = Object.keys(table).filter((name): name is K => name in table);
  return fc.oneof(...names.map((name) => ({ arbitrary: fc.constant(name), weight: table[name] })));
}

const kind: fc.Arbitrary<Kind> = fc.oneof(
  { arbitrary: drawn(weights), weight: 8 },
  { arbitrary: fc.constant('race'), weight: 1 },
);
const operation: fc.Arbitrary<Operation> = fc.record({
  kind,
  node: fc.constantFrom(0, 1),
  pick: fc.nat(11),
  choice: fc.nat(11),
  rival: drawn(rivals),
  rivalPick: fc.nat(11),
});

/** Sequences of operations. The first is a login, since nothing can die before something lives. */
export const sequences: fc.Arbitrary<readonly Operation[]> = fc
  .tuple(
    operation.map((first): Operation => ({ ...first, kind: 'authorize' })),
    fc.array(operation, { minLength: 4, maxLength: 14, size: 'max' }),
  )
  .map(([first, rest]) => [first, ...rest]);
