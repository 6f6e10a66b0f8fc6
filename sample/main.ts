import { serve } from '@hono/node-server';
import { sampleApp } from './app.ts';
import { readSettings } from './settings.ts';

const settings = readSettings();
const server = serve(
  { fetch: sampleApp(settings).fetch, hostname: '127.0.0.1', port: settings.port },
  () => console.log(`sample app: ${settings.url}`),
);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => server.close());
}
