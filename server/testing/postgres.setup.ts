import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { TestProject } from 'vitest/node';
import { openServices, type Services } from './services.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where test files ask for databases and ports: a door of this test run on loopback. */
    testServices: string;
    /** The PostgreSQL to use, as {@link openServices} takes it; '': the one that npm brings. */
    postgresInstallation: string;
    /** How far the property test goes, and the libfaketime that it starts nodes with. */
    property: {
      readonly sequences: number;
      readonly seed: number;
      readonly replay: string;
      readonly faketime: string;
    };
    /** True where the long forms of tests were asked for: GATEHOUSE_TEST_LONG=1. */
    long: boolean;
    /** True where databases have what a next release might add: GATEHOUSE_TEST_NEXT_SCHEMA=1. */
    nextSchema: boolean;
  }
}

/** Opens the door to what test files share; Vitest calls it once per run. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { postgresInstallation, nextSchema } = project.getProvidedContext();
  const services = openServices(postgresInstallation, nextSchema);
  const path = `/${randomUUID()}`;
  const server = createServer((request, response) => {
    answer(services, request, path).then(
      (body) => response.end(JSON.stringify(body)),
      (error: unknown) => {
        response.statusCode = 500;
        response.end(error instanceof Error ? error.message : String(error));
      },
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  project.provide('testServices', `http://127.0.0.1:${port}${path}`);
  return async () => {
    server.close();
    server.closeAllConnections();
    await services.close();
  };
}

async function answer(services: Services, request: IncomingMessage, path: string) {
  const [what, name] = request.url?.startsWith(`${path}/`)
    ? request.url.slice(path.length + 1).split('/')
    : [];
  if (request.method === 'POST' && what === 'databases') return services.createDatabase();
  if (request.method === 'POST' && what === 'ports') return { port: await services.port() };
  if (request.method === 'DELETE' && what === 'databases' && name !== undefined) {
    await services.dropDatabase(name);
    return {};
  }
  throw new Error(`the test services know no ${request.method} ${what}`);
}
