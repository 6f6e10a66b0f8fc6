import { defineConfig } from 'vitest/config';
import { faketimePath } from './tools/faketime.mjs';

const common = {
  pool: 'forks',
  hookTimeout: 120_000,
  teardownTimeout: 30_000,
  // What is awaited comes at once, or late where the machine is busy, or never.
  expect: { poll: { timeout: 20_000 } },
} as const;

// Tests use the PostgreSQL that npm brings, or the one below this directory (/usr/lib/postgresql/15).
const postgresInstallation = process.env.GATEHOUSE_TEST_POSTGRES ?? '';

// How far the property test goes (docs/property-test.md). Without libfaketime clocks are true.
const property = {
  sequences: Number(process.env.GATEHOUSE_PROPERTY_SEQUENCES ?? 1000),
  seed: Number(process.env.GATEHOUSE_PROPERTY_SEED ?? 0),
  replay: process.env.GATEHOUSE_PROPERTY_REPLAY ?? '',
  faketime: faketimePath(),
};

// The long forms of tests: npm run long:online.
const long = process.env.GATEHOUSE_TEST_LONG === '1';
// Release N on schema N + 1: GATEHOUSE_TEST_NEXT_SCHEMA=1 npm run e2e.
const nextSchema = process.env.GATEHOUSE_TEST_NEXT_SCHEMA === '1';

// The kill test: `npm run kill` is its long form, and a seed repeats a run.
const kills = Number(process.env.GATEHOUSE_KILLS ?? 24);
const killSeed = Number(process.env.GATEHOUSE_KILL_SEED ?? 0);

export default defineConfig({
  test: {
    // Two at a time: each file may start servers and PostgreSQL databases of its own.
    maxWorkers: 2,
    // Hands out test databases and ports, on demand; starts nothing for tests that need neither.
    provide: { postgresInstallation, property, long, nextSchema, kills, killSeed },
    globalSetup: ['server/testing/postgres.setup.ts'],
    projects: [
      {
        test: {
          ...common,
          name: 'unit',
          include: ['{core,tokens,server,cli,sample,tools,migrate,bench}/**/*.test.ts'],
          testTimeout: 60_000,
        },
      },
      {
        test: { ...common, name: 'e2e', include: ['e2e/**/*.test.ts'], testTimeout: 60_000 },
      },
    ],
  },
});
