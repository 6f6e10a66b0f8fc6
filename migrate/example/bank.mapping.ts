import type { MappingFile } from '../blue-green/mapping.ts';

/** Joins customer and profile, splits account, and turns cents into an amount; and back. */
export const mapping: MappingFile = {
  name: 'bank',
  forward: {
    tables: [
      {
        target: 'person',
        key: ['id'],
        select: `select c.id, c.email, split_part(c.full_name, ' ', 1) as given_name,
            split_part(c.full_name, ' ', 2) as family_name, p.bio, p.prefs, c.created as created_at
          from customer c left join profile p on p.customer_id = c.id`,
        sources: [
          { table: 'customer', columns: ['id'] },
          { table: 'profile', columns: ['customer_id'] },
        ],
        rangeRows: 1000,
      },
      {
        target: 'wallet',
        key: ['id'],
        select: `select a.id, a.customer_id as owner_id, a.balance_cents / 100.0 as balance,
            a.currency from account a`,
        sources: [{ table: 'account', columns: ['id'] }],
        rangeRows: 1000,
      },
      {
        target: 'wallet_state',
        key: ['wallet_id'],
        select: 'select a.id as wallet_id, a.status from account a',
        sources: [{ table: 'account', columns: ['id'] }],
        rangeRows: 1000,
      },
      {
        target: 'movement',
        key: ['id'],
        select: `select t.id, t.from_id, t.to_id, t.cents / 100.0 as amount, t.note, t.at
          from transfer t`,
        sources: [{ table: 'transfer', columns: ['id'] }],
        rangeRows: 1000,
      },
    ],
    sequences: [{ from: 'account_id_seq', to: 'wallet_id_seq' }],
  },
  reverse: {
    tables: [
      {
        target: 'customer',
        key: ['id'],
        select: `select p.id, p.email, p.given_name || ' ' || p.family_name as full_name,
            p.created_at as created from person p`,
        sources: [{ table: 'person', columns: ['id'] }],
      },
      {
        target: 'profile',
        key: ['customer_id'],
        select: `select p.id as customer_id, p.bio, p.prefs from person p
          where p.bio is not null or p.prefs is not null`,
        sources: [{ table: 'person', columns: ['id'] }],
      },
      {
        target: 'account',
        key: ['id'],
        select: `select w.id, w.owner_id as customer_id, w.balance * 100 as balance_cents,
            w.currency, s.status
          from wallet w join wallet_state s on s.wallet_id = w.id`,
        sources: [
          { table: 'wallet', columns: ['id'] },
          { table: 'wallet_state', columns: ['wallet_id'] },
        ],
      },
      {
        target: 'transfer',
        key: ['id'],
        select: `select m.id, m.from_id, m.to_id, m.amount * 100 as cents, m.note, m.at
          from movement m`,
        sources: [{ table: 'movement', columns: ['id'] }],
      },
    ],
    sequences: [{ from: 'wallet_id_seq', to: 'account_id_seq' }],
  },
  checks: [
    {
      name: 'money is conserved',
      equal: {
        blue: 'select sum(a.balance_cents)::text as cents from account a',
        green: 'select trim_scale(sum(w.balance) * 100)::text as cents from wallet w',
      },
    },
    {
      name: 'no wallet without a state',
      on: 'green',
      violations: `select w.id from wallet w
        left join wallet_state s on s.wallet_id = w.id where s.wallet_id is null`,
    },
  ],
};
