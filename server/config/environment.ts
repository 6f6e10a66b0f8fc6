import { readFileSync } from 'node:fs';
import { type Config, loadConfig } from './config.ts';
import { settingKeys, variableName } from './names.ts';
import type { SettingKey } from './settings.ts';

/** Settings as text, by their keys. */
export type SettingTexts = Readonly<Partial<Record<SettingKey, string>>>;

export interface EnvironmentOptions {
  /** What the command line or the start has decided: wins over everything. */
  readonly overrides?: SettingTexts;
  /** In place of the defaults of the schema: everything that was set wins over it. */
  readonly defaults?: SettingTexts;
}

/** The settings of this process: its environment and the file that it names. See loadConfig. */
export function readConfig(options: EnvironmentOptions = {}): Config {
  return loadConfig({
    env: { ...process.env, ...variablesOf(options.overrides ?? {}) },
    readFile: (path) => readFileSync(path, 'utf8'),
    defaults: options.defaults ?? {},
  });
}

/** The same settings as variables for the environment of a child process. */
export function variablesOf(texts: SettingTexts): Record<string, string> {
  const given = settingKeys.flatMap((key) => {
    const text = texts[key];
    return text === undefined ? [] : [[variableName(key), text] as const];
  });
  return Object.fromEntries(given);
}
