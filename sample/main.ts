import { serve } from '@hono/node-server';
import { sampleApp } from './app.ts';
import { readSettings } from './settings.ts';

const settings = readSettings();
serve({ fetch: sampleApp(settings).fetch, hostname: '127.0.0.1', port: settings.port }, () =>
  console.log(`sample app: ${settings.url}`),
);
// Browsers keep connections open, and nothing here is worth waiting for them. `disconnect`: whoever
// started the app over an IPC channel is gone.
const stop = () => process.exit(0);
for (const reason of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(reason, stop);
