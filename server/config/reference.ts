import { readFileSync, writeFileSync } from 'node:fs';
import { fileName, fileVariable, settingKeys, variableName } from './names.ts';
import { settingMeta } from './setting-kinds.ts';
import { settings } from './settings.ts';

const page = new URL('../../docs/configuration.md', import.meta.url);

/** The reference page of all settings, as Markdown. */
export function configurationReference(): string {
  const rows = settingKeys.map((key) => {
    const meta = settingMeta.get(settings.shape[key]);
    if (meta === undefined) throw new Error(`${key} has no description`);
    const cells = [
      `\`${variableName(key)}\`<br>\`${fileName(key)}\``,
      meta.shown,
      meta.format,
      meta.secret ? `${meta.description} Secret.` : meta.description,
    ];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return `<!-- Generated from settings.ts by \`node server/config/reference.ts\`. Do not edit. -->
# Configuration

Settings come from the environment and from a JSON file that \`${fileVariable}\` names; the
environment wins, an empty variable counts as absent. The file uses the second name of each row:

\`\`\`json
{ "issuer": "https://auth.example", "access_token_seconds": "10m", "workers": 4 }
\`\`\`

Everything is read once, at start. An unknown name, a wrong value or a broken rule stops the start,
with all problems at once. Unsafe settings are printed at every start.

| name (environment, file) | default | value | what it does |
| --- | --- | --- | --- |
${rows.join('\n')}

## Rules between settings

- An http issuer or page is allowed on loopback, elsewhere with \`GATEHOUSE_INSECURE_HTTP_ISSUER\`.
- The issuer has neither query nor fragment (OpenID Connect Discovery §3).
- The three ports differ; with \`GATEHOUSE_PUBLIC_PORT=0\` the issuer must be given.
- \`GATEHOUSE_TLS_CERT\` and \`GATEHOUSE_TLS_KEY\` come together.
- \`GATEHOUSE_INSECURE_ADMIN_NO_AUTH\` works on a loopback admin listener only.
- \`GATEHOUSE_DATABASE_URL\` is given where another database URL is.
- A family of refresh tokens may not end before its access token.
`;
}

if (import.meta.main) {
  const text = configurationReference();
  if (!process.argv.includes('--check')) {
    writeFileSync(page, text);
  } else if (readFileSync(page, 'utf8') !== text) {
    console.error('docs/configuration.md is stale: run node server/config/reference.ts');
    process.exitCode = 1;
  }
}
