import { isIP } from 'node:net';
import {
  fileName,
  fileVariable,
  isOurVariable,
  nearest,
  settingKeys,
  variableName,
} from './names.ts';
import { parsedUrl, settingMeta } from './setting-kinds.ts';
import { type SettingKey, type Settings, settings } from './settings.ts';

type PageUrl =
  | 'loginUrl'
  | 'consentUrl'
  | 'logoutUrl'
  | 'errorUrl'
  | 'postLogoutUrl'
  | 'deviceUrl'
  | 'deviceDoneUrl';

/**
 * Every setting of a deployment, parsed once, frozen, passed down (docs/configuration.md). Units
 * are in the names. What is made at first start is undefined where nobody set it.
 */
export type Config = Readonly<Omit<Settings, PageUrl | 'issuer' | 'dynamicRegistration'>> &
  Readonly<Record<PageUrl, string>> & {
    /** As given, or the default; compared byte for byte. */
    readonly issuer: string;
    readonly dynamicRegistration: 'off' | 'token' | 'open';
  };

export interface ConfigSource {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads the file that `GATEHOUSE_CONFIG` names. */
  readonly readFile: (path: string) => string;
  /** Taken where neither says anything; absent: the defaults of the schema. */
  readonly defaults?: Readonly<Partial<Record<SettingKey, string>>>;
}

/** The settings cannot be used; each problem is a sentence: which setting, and what is right. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The settings cannot be used:\n${problems.map((problem) => `- ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

interface Given {
  /** The name as the operator wrote it. */
  readonly name: string;
  readonly value: unknown;
}

/**
 * Reads the file and the environment; the environment wins, an empty variable counts as absent.
 * Throws ConfigError with all problems at once: unknown names, wrong values, rules that are broken.
 */
export function loadConfig(source: ConfigSource): Config {
  const problems: string[] = [];
  const given = new Map([
    ...fromDefaults(source),
    ...fromFile(source, problems),
    ...fromEnvironment(source.env, problems),
  ]);
  const parsed = settings.safeParse(
    Object.fromEntries([...given].map(([key, { value }]) => [key, value])),
  );
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const key = settingKeys.find((candidate) => candidate === issue.path[0]);
      if (key !== undefined) problems.push(complaint(key, given.get(key), issue.message));
    }
  }
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems);
  const config = completed(parsed.data);
  const broken = brokenRules(parsed.data, config);
  if (broken.length > 0) throw new ConfigError(broken);
  return deepFrozen(config);
}

function complaint(key: SettingKey, given: Given | undefined, message: string): string {
  const name = given?.name ?? variableName(key);
  const secret = settingMeta.get(settings.shape[key])?.secret === true;
  const value = secret ? 'a value that is not shown' : JSON.stringify(given?.value);
  return `${name} ${message}; it is ${value}.`;
}

function fromDefaults({ defaults }: ConfigSource): Map<SettingKey, Given> {
  const given = new Map<SettingKey, Given>();
  for (const key of settingKeys) {
    const value = defaults?.[key];
    if (value !== undefined) given.set(key, { name: variableName(key), value });
  }
  return given;
}

function fromEnvironment(env: ConfigSource['env'], problems: string[]): Map<SettingKey, Given> {
  const given = new Map<SettingKey, Given>();
  const known = new Map(settingKeys.map((key) => [variableName(key), key]));
  for (const [name, value] of Object.entries(env)) {
    if (!isOurVariable(name) || name === fileVariable) continue;
    const key = known.get(name);
    if (key === undefined) problems.push(unknownName(name, [...known.keys(), fileVariable]));
    else if (value !== undefined && value !== '') given.set(key, { name, value });
  }
  return given;
}

function fromFile({ env, readFile }: ConfigSource, problems: string[]): Map<SettingKey, Given> {
  const given = new Map<SettingKey, Given>();
  const path = env[fileVariable];
  if (path === undefined || path === '') return given;
  const known = new Map(settingKeys.map((key) => [fileName(key), key]));
  for (const [name, value] of Object.entries(fileObject(path, readFile, problems))) {
    const key = known.get(name);
    if (key === undefined) problems.push(`${unknownName(name, [...known.keys()])} (${path})`);
    else given.set(key, { name: `${name} in ${path}`, value });
  }
  return given;
}

function fileObject(path: string, readFile: (path: string) => string, problems: string[]): object {
  try {
    const value: unknown = JSON.parse(readFile(path));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
    problems.push(
      `${fileVariable}: ${path} must hold one JSON object, {"public_port": 4444, ...}.`,
    );
  } catch (error) {
    // What JSON.parse complains of quotes the file, and the file may hold secrets.
    const why = error instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    problems.push(`${fileVariable}: ${path} ${why}.`);
  }
  return {};
}

function unknownName(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  return meant === undefined
    ? `${name} is not a setting; docs/configuration.md lists them all.`
    : `${name} is not a setting; did you mean ${meant}?`;
}

/** Fills in the defaults that depend on other settings. */
function completed(given: Settings): Config {
  const scheme = given.tlsCert === undefined ? 'http' : 'https';
  const issuer = given.issuer ?? `${scheme}://127.0.0.1:${given.publicPort}`;
  const page = (url: string | undefined, path: string) => url ?? baseUrl({ issuer }) + path;
  return {
    ...given,
    issuer,
    dynamicRegistration: given.dynamicRegistration ?? (onLoopback(issuer) ? 'open' : 'off'),
    loginUrl: page(given.loginUrl, '/ui/login'),
    consentUrl: page(given.consentUrl, '/ui/consent'),
    logoutUrl: page(given.logoutUrl, '/ui/logout'),
    errorUrl: page(given.errorUrl, '/ui/error'),
    postLogoutUrl: page(given.postLogoutUrl, '/ui/signed-out'),
    deviceUrl: page(given.deviceUrl, '/ui/device'),
    deviceDoneUrl: page(given.deviceDoneUrl, '/ui/device/done'),
  };
}

const pageUrls: readonly PageUrl[] = [
  'loginUrl',
  'consentUrl',
  'logoutUrl',
  'errorUrl',
  'postLogoutUrl',
  'deviceUrl',
  'deviceDoneUrl',
];

/** The rules between settings. Each broken one is a sentence. */
function brokenRules(given: Settings, config: Config): string[] {
  const name = variableName;
  const broken: string[] = [];
  const rule = (holds: boolean, sentence: string) => {
    if (!holds) broken.push(sentence);
  };
  rule(
    given.issuer !== undefined || given.publicPort !== 0,
    `${name('issuer')} must be given when ${name('publicPort')} is 0: no port is known before.`,
  );
  rule(
    !/[?#]/.test(config.issuer),
    `${name('issuer')} must have neither query nor fragment (OpenID Connect Discovery §3); ` +
      'remove what follows the path.',
  );
  rule(httpAllowed(config.issuer, config), mustBeHttps('issuer'));
  for (const key of pageUrls) {
    rule(given[key] === undefined || httpAllowed(config[key], config), mustBeHttps(key));
  }
  const ports = [config.publicPort, config.adminPort, config.samplePort].filter(
    (port) => port !== undefined && port !== 0,
  );
  rule(
    new Set(ports).size === ports.length,
    `${name('publicPort')}, ${name('adminPort')} and ${name('samplePort')} must differ; ` +
      `they are ${ports.join(', ')}.`,
  );
  rule(
    (config.tlsCert === undefined) === (config.tlsKey === undefined),
    `${name('tlsCert')} and ${name('tlsKey')} belong together; give both or neither.`,
  );
  rule(
    !config.insecureAdminNoAuth || isLoopbackHost(config.adminHost),
    `${name('insecureAdminNoAuth')} works on loopback only; ` +
      `set ${name('adminHost')}=127.0.0.1 or switch it off.`,
  );
  rule(
    config.databaseUrl !== undefined ||
      (config.ownerDatabaseUrl ?? config.usageDatabaseUrl ?? config.directDatabaseUrl) ===
        undefined,
    `${name('databaseUrl')} must be given where another database URL is; ` +
      'without it the embedded PostgreSQL is used.',
  );
  rule(
    (config.refreshTokenAbsoluteSeconds ?? Number.POSITIVE_INFINITY) >= config.accessTokenSeconds,
    `${name('refreshTokenAbsoluteSeconds')} must not be below ${name('accessTokenSeconds')}.`,
  );
  return broken;
}

function mustBeHttps(key: SettingKey): string {
  return (
    `${variableName(key)} must be https, because it is not on loopback; ` +
    `${variableName('insecureHttpIssuer')}=on allows http all the same.`
  );
}

function httpAllowed(url: string, config: Config): boolean {
  return url.startsWith('https:') || onLoopback(url) || config.insecureHttpIssuer;
}

function onLoopback(url: string): boolean {
  return isLoopbackHost(parsedUrl(url)?.hostname ?? '');
}

/** Loopback by address or by name; a name that only resolves to loopback does not count. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  if (isIP(bare) === 4) return bare.startsWith('127.');
  return bare === '::1' || bare === 'localhost' || bare.endsWith('.localhost');
}

/** What is unsafe about these settings, a sentence each; printed at every start. */
export function insecureWarnings(config: Config): string[] {
  const name = variableName;
  const everywhere = config.trustedProxies.filter((range) => /\/0$/.test(range));
  const found: (string | false)[] = [
    config.insecureHttpIssuer &&
      `${name('insecureHttpIssuer')} is on: codes and tokens cross the network in clear.`,
    config.insecureAdminNoAuth &&
      `${name('insecureAdminNoAuth')} is on: every process on this machine is an administrator.`,
    config.insecureKeyRotationSeconds !== undefined &&
      `${name('insecureKeyRotationSeconds')} is set: relying parties that cache keys for longer ` +
        'will refuse tokens.',
    config.insecureFailpoints.length > 0 &&
      `${name('insecureFailpoints')} is set: this server fails on purpose, at ` +
        `${config.insecureFailpoints.join(', ')}.`,
    config.tlsCert === undefined &&
      !isLoopbackHost(config.adminHost) &&
      `The admin listener on ${config.adminHost} speaks plain HTTP: ` +
        'admin credentials cross the network in clear unless a proxy ends TLS before it.',
    everywhere.length > 0 &&
      `${name('trustedProxies')} has ${everywhere.join(', ')}: everybody may claim any address.`,
    (config.adminToken?.length ?? 24) < 24 &&
      `${name('adminToken')} has fewer than 24 characters: it can be guessed.`,
    !config.rateLimits && `${name('rateLimits')} is off: secrets can be guessed without limit.`,
  ];
  return found.filter((sentence) => sentence !== false);
}

function deepFrozen<T extends object>(value: T): T {
  for (const part of Object.values(value)) {
    if (typeof part === 'object' && part !== null) deepFrozen(part);
  }
  return Object.freeze(value);
}

/** What paths are appended to: the issuer, which may itself end in a slash, without that. */
export function baseUrl(config: Pick<Config, 'issuer'>): string {
  return config.issuer.replace(/\/$/, '');
}
