import type { MappingFile } from '../blue-green/mapping.ts';
import { mapping as small } from './bank.mapping.ts';

/** The bank with ranges of the ordinary size, for measuring. */
export const mapping: MappingFile = {
  ...small,
  forward: {
    ...small.forward,
    tables: small.forward.tables.map((table) => ({ ...table, rangeRows: 20_000 })),
  },
};
