import {
  answerOf,
  askTool,
  runAll,
  runCopy,
  runFollow,
  runRepair,
  runSwitch,
  sideOf,
  verified,
} from './acts.ts';
import type { Command, Option } from './command.ts';
import { Failure } from './failure.ts';
import { abort, finish } from './finish.ts';
import { makeForeignTables } from './foreign.ts';
import { plan } from './plan.ts';
import { prepare } from './prepare.ts';
import { reportLines } from './report.ts';
import { status, statusLines } from './status.ts';
import { stepDown } from './switch.ts';

const paceOptions: Readonly<Record<string, Option>> = {
  workers: {
    type: 'string',
    value: 'N',
    range: [1, 64],
    about: 'How much runs at a time, at most; default 4.',
  },
  'active-max': {
    type: 'string',
    value: 'N',
    range: [0, 1e6],
    about:
      'It slows down where others have more transactions open on the live side; default: half as ' +
      'many again as before it began, and one.',
  },
  'replica-lag-ms': {
    type: 'string',
    value: 'MS',
    range: [0, 1e9],
    about: 'It waits while a replica of the live side lags more.',
  },
};
const copyOptions: Readonly<Record<string, Option>> = {
  ...paceOptions,
  'rows-per-second': {
    type: 'string',
    value: 'N',
    range: [1, 1e9],
    about: 'The copy goes no faster.',
  },
};
const followOptions: Readonly<Record<string, Option>> = {
  'interval-ms': {
    type: 'string',
    value: 'MS',
    range: [1, 60_000],
    about: 'Pause where nothing is pending; default 200.',
  },
  batch: {
    type: 'string',
    value: 'N',
    range: [1, 100_000],
    about: 'Changes in a batch; default 5000.',
  },
  once: { type: 'boolean', about: 'Ends when nothing is pending, instead of going on.' },
};
const verifyOptions: Readonly<Record<string, Option>> = {
  all: {
    type: 'boolean',
    about: 'Compares every range, also those that nothing has touched since they agreed.',
  },
  'differences-max': {
    type: 'string',
    value: 'N',
    range: [1, 1e6],
    about: 'Compares no further once so many rows differ, and fails; default 200000.',
  },
};
const switchOptions: Readonly<Record<string, Option>> = {
  ...paceOptions,
  ...verifyOptions,
  'hold-ms': {
    type: 'string',
    value: 'MS',
    range: [50, 60_000],
    about: 'Writers wait this long at most, then the old side goes on; default 2000.',
  },
  'lock-ms': {
    type: 'string',
    value: 'MS',
    range: [1, 10_000],
    about: 'How long an attempt waits for writers in flight; default 100.',
  },
  attempts: {
    type: 'string',
    value: 'N',
    range: [1, 1_000],
    about: 'Attempts to fence; default 10.',
  },
  'no-verify': { type: 'boolean', about: 'Does not compare everything before (it was just done).' },
};

const example = (line: string) => `$ migrate ${line} --mapping accounts.ts`;

/** Every command, in the order of a migration. */
export const commands: readonly Command[] = [
  {
    name: 'plan',
    summary: 'Says what a migration would do, how long, and who uses the tables. Changes nothing.',
    details: ['Ends with 1 where something cannot be done.'],
    options: {},
    example: [example('plan'), 'public.customer: about 1000 rows, 1 MiB with indexes', '...'],
    exclusive: false,
    async run(run) {
      const found = await plan(run);
      for (const line of found.lines) run.report.line(line);
      for (const warning of found.warnings) run.report.line(`note: ${warning}`);
      if (found.refusals.length > 0) {
        throw new Failure(found.refusals.join('\n'), { found: { ...found } });
      }
      run.report.line('Nothing stands in the way.');
      return { ...found };
    },
  },
  {
    name: 'prepare',
    summary: 'Makes control tables on both sides and captures changes on blue.',
    details: ['Each trigger waits 0.2 s for its table at most, then makes way and tries again.'],
    options: {},
    example: [example('prepare'), 'public.customer: changes are captured'],
    act: 'prepare',
    exclusive: true,
    async run(run) {
      const found = await plan(run);
      if (found.refusals.length > 0) throw new Failure(found.refusals.join('\n'));
      await prepare(run);
      return {};
    },
  },
  {
    name: 'copy',
    summary: 'Fills green, range by range; begun again it goes on.',
    details: ['"migrate pause" makes it wait, "migrate stop" and Ctrl-C end it; nothing is lost.'],
    options: copyOptions,
    example: [
      example('copy --workers 4'),
      'copy: 11216 rows, 11216 of them now, in 0.2 s (47290 rows/s)',
    ],
    act: 'copy',
    exclusive: true,
    run: runCopy,
  },
  {
    name: 'follow',
    summary: 'Brings what changed on blue to green, and goes on until it is stopped.',
    details: [
      'First it makes the indexes again that were set aside for the copy.',
      'It may be ended at any time: changes are logged all the same, and wait.',
    ],
    options: followOptions,
    example: [example('follow --once'), 'green is in step with blue (879 changes)'],
    act: 'follow',
    exclusive: true,
    run: runFollow,
  },
  {
    name: 'verify',
    summary: 'Compares both sides while writes go on: counts, hashes, references, your checks.',
    details: [
      'What is written meanwhile it brings over, as follow does.',
      'Again, it reads only ranges that were touched since they agreed, by whomever: row versions and ' +
        'counts tell. --all compares everything: it also sees what a disk has changed.',
      'Also in the other direction, which proves that the way back loses nothing.',
      'What it finds is listed by key and kept for "migrate repair". Ends with 1 if it finds anything.',
    ],
    options: { ...paceOptions, ...verifyOptions },
    example: [
      example('verify'),
      'verify: 20183 rows in 16 ranges agree, every check holds (950 ms)',
    ],
    act: 'verify',
    exclusive: true,
    async run(run, input) {
      return answerOf(await verified(run, input));
    },
  },
  {
    name: 'switch',
    summary: 'Makes green live: verifies, holds writes, fences blue, drains, opens green.',
    details: [
      'Whatever fails before blue has retired leaves blue live. Reads are never held.',
      'A tool that dies in the middle: any client or the next command ends it.',
    ],
    options: switchOptions,
    example: [example('switch'), 'green is live (epoch 2); writes were held for 11.7 ms'],
    act: 'switch',
    exclusive: true,
    run: runSwitch,
  },
  {
    name: 'watch',
    summary: 'Keeps the side that is not live in step, so that going back loses nothing.',
    details: [],
    options: followOptions,
    example: [example('watch'), 'green to blue, 1042 rows, 96 rows/s, lag 12 ms'],
    act: 'watch',
    exclusive: true,
    async run(run, input) {
      await stepDown(run).catch(() => {});
      return runFollow(run, input);
    },
  },
  {
    name: 'repair',
    summary: 'Restores rows of one side from the other while writes go on.',
    details: [
      'Say which side is wrong. --found takes what the last verify has listed.',
      'A key is a JSON array of texts, one per key column.',
    ],
    options: {
      side: { type: 'string', value: 'SIDE', about: 'Which side is wrong: blue or green.' },
      found: { type: 'boolean', about: 'Every row that the last verify has found there.' },
      table: { type: 'string', value: 'TABLE', about: 'The table, with its schema.' },
      key: {
        type: 'string',
        value: 'KEY',
        multiple: true,
        about: 'A row; may stand several times.',
      },
    },
    example: [
      example('repair --side green --found'),
      '3 rows of green restored from blue',
      example(`repair --side green --table public.account --key '["42"]'`),
    ],
    act: 'repair',
    exclusive: true,
    run: runRepair,
  },
  {
    name: 'rollback',
    summary: 'Makes blue live again, with everything that green has taken since.',
    details: ['The same as switch, the other way round.'],
    options: switchOptions,
    example: [example('rollback'), 'blue is live (epoch 3); writes were held for 33.8 ms'],
    act: 'rollback',
    exclusive: true,
    run: runSwitch,
  },
  {
    name: 'finish',
    summary: 'Ends the migration: green stays, every trace of migrate goes.',
    details: [
      'After it nothing refuses writes to blue, so it does nothing while anybody is connected there.',
    ],
    options: {
      'keep-guard': {
        type: 'boolean',
        about: 'Leaves the guard on blue: it goes on refusing writes.',
      },
      anyway: { type: 'boolean', about: 'Although somebody is connected to blue.' },
    },
    example: [example('finish --keep-guard')],
    act: 'finish',
    exclusive: true,
    async run(run, input) {
      const keepGuard = input.flag('keep-guard');
      await finish(run, { keepGuard, mindUsers: !(input.flag('anyway') || keepGuard) });
      return {};
    },
  },
  {
    name: 'abort',
    summary:
      'Ends the migration before a switch or after a rollback: blue stays, green is emptied.',
    details: [],
    options: {},
    example: [example('abort'), 'green: emptied as it was before; every trace of migrate is gone'],
    act: 'abort',
    exclusive: true,
    async run(run) {
      await abort(run);
      return {};
    },
  },
  {
    name: 'run',
    summary: 'prepare, copy, follow, verify and switch, one after the other.',
    details: ['Begun again it goes on where it ended.'],
    options: { ...copyOptions, ...followOptions, ...switchOptions },
    example: [example('run'), 'green is live (epoch 2); writes were held for 11.7 ms'],
    exclusive: true,
    run: runAll,
  },
  {
    name: 'status',
    summary: 'Says how far the migration is and what comes next.',
    details: [],
    options: {},
    example: [example('status'), 'phase: following'],
    exclusive: false,
    async run(run) {
      const found = await status(run);
      for (const line of statusLines(found)) run.report.line(line);
      return found;
    },
  },
  {
    name: 'report',
    summary: 'Sets before and after side by side, with every phase, switch and repair.',
    details: [],
    options: {},
    example: [example('report')],
    exclusive: false,
    async run(run) {
      const found = await reportLines(run);
      for (const line of found.lines) run.report.line(line);
      return found.figures;
    },
  },
  {
    name: 'foreign',
    summary: 'Gives whoever stays on one side tables that reach the other (postgres_fdw).',
    details: [
      'Schema migrate_other_side holds them; "migrate finish" and "abort" remove them.',
      'An insert there names every column that is not null: postgres_fdw sends null for what is left ' +
        'out, and not the default of the other side.',
    ],
    options: {
      side: { type: 'string', value: 'SIDE', about: 'Where the foreign tables are made.' },
      role: { type: 'string', value: 'ROLE', about: 'Who may use them.' },
      host: { type: 'string', value: 'HOST', about: 'The other side, as this one reaches it.' },
      port: { type: 'string', value: 'PORT', about: 'Its port.' },
      database: { type: 'string', value: 'NAME', about: 'Its database.' },
      'remote-role': { type: 'string', value: 'ROLE', about: 'The role over there.' },
      'password-file': { type: 'string', value: 'FILE', about: 'Holds the password of that role.' },
    },
    example: [
      example(
        'foreign --side blue --role report --host db2 --port 5432 --database shop --remote-role report --password-file pw',
      ),
    ],
    act: 'repair',
    exclusive: true,
    async run(run, input) {
      return { tables: await makeForeignTables(run, sideOf(input), input) };
    },
  },
  ...(
    [
      ['pause', 'Asks the tool that runs to wait between two ranges or batches, until "resume".'],
      ['resume', 'Lets the tool that waits go on.'],
      ['stop', 'Asks the tool that runs to end between two ranges or batches.'],
    ] as const
  ).map(
    ([word, summary]): Command => ({
      name: word,
      summary,
      details: ['Changes are logged all the same. A command that is begun anew goes on.'],
      options: {},
      example: [example(word)],
      exclusive: false,
      async run(run) {
        const working = await askTool(run, word === 'resume' ? null : word);
        const said = word === 'resume' ? 'it may go on' : `asked to ${word}`;
        run.report.line(working ? said : 'No migrate works on these databases now.');
        return { working };
      },
    }),
  ),
];
