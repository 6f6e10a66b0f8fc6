import { type Command, json } from './command.ts';

// What is done to the database itself; no node needs to run.

/** The tables, and how they change. */
export const schema: readonly Command[] = [
  {
    name: 'schema status',
    summary: 'Shows which migrations the database has; exit code 1 where some are missing.',
    details: [
      'Speaks to GATEHOUSE_DATABASE_DIRECT_URL, else _OWNER_URL, else _URL, else to the running ' +
        'embedded PostgreSQL.',
    ],
    options: { json },
    example: [
      '$ node cli/main.ts schema status',
      'number  name      phase   state    applied at',
      '0001    engine    expand  applied  2026-07-01T09:00:00.000Z',
      '0002    identity  expand  missing',
      'Run `schema up` first.',
    ],
    run: async (...given) => (await import('./schema.ts')).schemaStatus(...given),
  },
  {
    name: 'schema plan',
    summary: 'Shows what `schema up` would run, what each statement locks and for how long.',
    details: [
      'Changes nothing. The seconds are a rough guess from the size of the tables as they are. What ' +
        'locks mean, and why some statements are refused: docs/migrate/online.md.',
    ],
    options: { json },
    example: [
      '$ node cli/main.ts schema plan',
      '-- 0004_narrowing (expand)',
      '-- step 1, one transaction',
      '-- fact: ACCESS EXCLUSIVE, brief',
      'alter table fact add column version integer;',
      '...',
    ],
    run: async (...given) => (await import('./schema.ts')).schemaPlan(...given),
  },
  {
    name: 'schema up',
    summary: 'Applies the migrations that are missing, while the server runs.',
    details: [
      'As the role that owns the tables. Several processes may run this at once; one works, the ' +
        'others wait and say for whom. A table that is busy is asked for again in short turns, so ' +
        'that nobody waits behind this command. Killed at any moment, it goes on where it was when ' +
        'it is run again. A contract is refused while nodes of an older release run. The roles of ' +
        'GATEHOUSE_DATABASE_URL and _USAGE_URL get the rights they need.',
    ],
    options: {
      until: { type: 'string', value: 'N', about: 'Applies no migration above number N.' },
      json: { type: 'boolean', about: 'Prints what happens as JSON lines.' },
    },
    example: [
      '$ export GATEHOUSE_DATABASE_OWNER_URL=postgres://gatehouse_owner@db.example/gatehouse',
      '$ node cli/main.ts schema up',
      'applied migration 0002_identity (expand)',
      'The schema is up to date.',
    ],
    run: async (...given) => (await import('./schema.ts')).schemaUp(...given),
  },
  {
    name: 'schema down',
    summary: 'Takes migrations back that have a down section, the newest first.',
    details: [
      'Refused at a contract, since what it removed is gone; for a migration without a down ' +
        'section; and while nodes run that know a migration that would be taken back.',
    ],
    options: {
      to: { type: 'string', value: 'N', about: 'Keeps migration N and those below it.' },
      json: { type: 'boolean', about: 'Prints what happens as JSON lines.' },
    },
    example: ['$ node cli/main.ts schema down --to 7', 'took back migration 0008_labels (expand)'],
    run: async (...given) => (await import('./schema.ts')).schemaDown(...given),
  },
  {
    name: 'schema lint',
    summary: 'Says what the migrations lock that they should not; exit code 1 where they do.',
    details: ['Needs no database. The rules: docs/migrate/lint-rules.md.'],
    options: {
      directory: { type: 'string', value: 'DIR', about: 'Other files than those of this release.' },
      'oldest-postgres': {
        type: 'string',
        value: 'N',
        about: 'The oldest major version of PostgreSQL that must know the statements (15).',
      },
      locks: {
        type: 'boolean',
        about: 'Names the locks of every statement, also of allowed ones.',
      },
      json,
    },
    example: [
      '$ node cli/main.ts schema lint --directory drafts',
      '0008_labels (expand), line 1: [create-index] create index (SHARE, scan): Reads and sorts ...',
      '8 migrations: 1 refused, 0 allowed with a reason.',
    ],
    run: async (...given) => (await import('./schema.ts')).schemaLint(...given),
  },
];

/** After a restore, and with files that were lost. */
export const recovery: readonly Command[] = [
  {
    name: 'recover',
    summary: 'Keeps dead what was dead, after the database was restored to an earlier moment.',
    details: [
      'A backup does not know what was revoked after it. So everything that was handed out dies: ' +
        'sessions, grants, codes and tokens; people sign in and consent anew. Fact numbers go on ' +
        'beyond all that were lost. Stop every node first. Without --yes it only says what it ' +
        'would do. Interrupted, it goes on where it was; until then no node starts.',
      'Clients, their secrets and users are as they were at the moment of the backup: ' +
        'docs/ops/restore.md says what to look at. Needs the role that owns the tables.',
    ],
    options: {
      yes: { type: 'boolean', about: 'Does it.' },
      'keep-credentials': {
        type: 'boolean',
        about: 'Keeps admin credentials; one that was deleted after the backup works again.',
      },
      'counter-only': {
        type: 'boolean',
        about: 'Revokes nothing: for a standby that took over and lacks a moment of writes.',
      },
    },
    example: [
      '$ node cli/main.ts recover --yes',
      'The counter of facts moves on from 48213 by 2^40.',
      'Everything that was handed out dies: 1204 grants, 2310 sessions, and all codes, ...',
      '...',
      'Recovered. Start the nodes.',
    ],
    run: async (...given) => (await import('./recover.ts')).recoverDatabase(...given),
  },
  {
    name: 'pairwise-salt forget',
    summary: 'Lets the deployment go on with another pairwise salt.',
    details: [
      'A node whose pairwise salt is not that of the first one does not start. After this command ' +
        'the next one to start is the first. Stop every node before: those that run keep the salt ' +
        'they have. Where the salt is another one then, every app with pairwise subjects sees other ' +
        'identifiers of the same people.',
    ],
    options: { yes: { type: 'boolean', about: 'Does it.' } },
    example: [
      '$ node cli/main.ts pairwise-salt forget --yes',
      'Forgotten. The next node that starts says which pairwise salt is right.',
    ],
    run: async (...given) => (await import('./pairwise-salt.ts')).pairwiseSaltForget(...given),
  },
];
