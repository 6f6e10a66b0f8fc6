import type { Config } from '#server/config/config.ts';
import { variableName } from '#server/config/names.ts';
import type { DemoUser } from '#server/identity/demo.ts';
import { adminTokenFile } from './data-directory.ts';
import { urlOf } from './listening.ts';

export interface Welcome {
  readonly config: Config;
  /** The one that was bound. */
  readonly adminPort: number;
  readonly sampleUrl: string | undefined;
  readonly demo: DemoUser;
  readonly warnings: readonly string[];
}

/** What `npm start` says when everything runs: where to go, how to sign in, how to stop. */
export function welcome({ config, adminPort, sampleUrl, demo, warnings }: Welcome): string[] {
  const issuer = config.issuer.replace(/\/$/, '');
  const token =
    config.adminToken === undefined
      ? `the token is in ${adminTokenFile(config.dataDir)}`
      : `the token is ${variableName('adminToken')}`;
  const rows: (readonly [string, string])[] = [
    ...(sampleUrl === undefined ? [] : [['Try it', `${sampleUrl}  (a sample app)`] as const]),
    ['Sign in as', `${demo.login}  ${demo.password}`],
    ['Issuer', config.issuer],
    ['Discovery', `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`],
    ['Admin API', `${urlOf(config, 'admin', adminPort)}  (${token})`],
  ];
  return [
    '',
    'Gatehouse is ready.',
    '',
    ...rows.map(([name, value]) => `  ${name.padEnd(12)}${value}`),
    '',
    '  Register an app of your own:  npm run gatehouse -- help client create',
    '  Stop with Ctrl-C.',
    ...(warnings.length === 0 ? [] : ['']),
    ...warnings.map((warning) => `  WARNING: ${warning}`),
    '',
  ];
}
