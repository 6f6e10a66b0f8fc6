// A small bank over HTTP, in use while its database is changed: accounts, transfers, customers.
//
//   node migrate/example/main.ts --blue URL --green URL [--port 0] [--primary blue] [--pool 10]
//     [--wait-ms 2000]
//
// It prints one line of JSON, {"listening":"http://127.0.0.1:PORT"}, when it takes requests, and
// ends after the requests under way at SIGTERM or SIGINT (exit code 0), or --wait-ms and two seconds
// after it (1). The doors are in app.ts.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { openDatabases } from '#migrate/client/databases.ts';
import { answerWith } from './app.ts';
import { priming } from './bank.ts';

const usage = `Usage: node migrate/example/main.ts --blue URL --green URL [options]

  --blue URL      The database in use before the migration.
  --green URL     The new one. One of the two may be left out when there is no migration.
  --primary SIDE  Which one is in use where neither knows of a migration; default blue.
  --port PORT     On 127.0.0.1; 0, the default, takes a free one.
  --pool N        Connections for reads, and as many for writes, per side; default 10.
  --wait-ms MS    How long a write may wait for a switch before it is answered 503; default 2000.

Example:
  $ node migrate/example/main.ts --blue postgres://localhost/shop --green postgres://db2/shop
  {"listening":"http://127.0.0.1:49152"}
`;

const { values } = parseArgs({
  options: {
    blue: { type: 'string' },
    green: { type: 'string' },
    primary: { type: 'string', default: 'blue' },
    port: { type: 'string', default: '0' },
    pool: { type: 'string', default: '10' },
    'wait-ms': { type: 'string', default: '2000' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const port = Number(values.port);
const max = Number(values.pool);
const waitMs = Number(values['wait-ms']);
const within = (value: number, least: number, most: number) =>
  Number.isInteger(value) && value >= least && value <= most;
const primary = values.primary === 'green' ? 'green' : 'blue';
const areSound = within(port, 0, 65_535) && within(max, 1, 500) && within(waitMs, 1, 15_000);
if (values[primary] === undefined || !areSound) {
  process.stderr.write(usage);
  process.exit(2);
}

const place = (connectionString: string) => ({
  connectionString,
  max,
  application_name: 'bank',
  // Longer than any statement here takes: whoever hangs does not keep a connection for ever.
  query_timeout: 15_000,
});
const databases = await openDatabases({
  ...(values.blue === undefined ? {} : { blue: place(values.blue) }),
  ...(values.green === undefined ? {} : { green: place(values.green) }),
  primary,
  prime: priming,
  writersMax: 2_000,
  readersMax: 2_000,
  waitMs,
});
const limits = {
  requestTimeout: 20_000,
  headersTimeout: 5_000,
  // Far longer than clients keep a connection, so that none is closed while a request is on its way.
  keepAliveTimeout: 600_000,
};
const server = createServer(limits, (request, answer) =>
  answerWith(databases, request, answer, () => !server.listening),
);
server.listen(port, '127.0.0.1', () => {
  const address = server.address();
  const bound = typeof address === 'object' ? address?.port : port;
  process.stdout.write(`${JSON.stringify({ listening: `http://127.0.0.1:${bound}` })}\n`);
});
/** A database that hangs answers nobody, and its connections keep a process for ever. */
const endMsMax = waitMs + 2_000;
const stop = () => {
  setTimeout(() => {
    process.stderr.write('Ended in the middle: a database does not answer.\n');
    process.exit(1);
  }, endMsMax);
  server.close(() => void databases.close().then(() => process.exit(0)));
  server.closeIdleConnections();
};
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, stop);
