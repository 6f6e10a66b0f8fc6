import type { MappingFile } from '../blue-green/mapping.ts';

const tables = [
  { target: 'customer', key: 'id', columns: 'id, email, full_name, created' },
  { target: 'profile', key: 'customer_id', columns: 'customer_id, bio, prefs' },
  { target: 'account', key: 'id', columns: 'id, customer_id, balance_cents, currency, status' },
  { target: 'transfer', key: 'id', columns: 'id, from_id, to_id, cents, note, at' },
].map(({ target, key, columns }) => ({
  target,
  key: [key],
  select: `select ${columns} from ${target}`,
  sources: [{ table: target, columns: [key] }],
}));
const direction = {
  tables,
  sequences: ['customer_id_seq', 'account_id_seq'].map((name) => ({ from: name, to: name })),
};

/** The bank as it is, into the same tables: for comparing with tools that can do only that. */
export const mapping: MappingFile = { name: 'bank-same', forward: direction, reverse: direction };
