import { isIP } from 'node:net';
import { z } from 'zod';

/** What the reference page says of a setting beside its type. */
export interface SettingMeta {
  /** One sentence (or two): what it does. */
  readonly description: string;
  /** The default as people read it. */
  readonly shown: string;
  /** How a value is written. */
  readonly format: string;
  /** Never quoted in an error or printed. */
  readonly secret?: boolean;
}

/** The metadata of all settings, apart from Zod's global registry. */
export const settingMeta = z.registry<SettingMeta>();

/** A value as it comes: text from the environment; text, number, boolean or list from the file. */
const raw = z.union([z.string(), z.number(), z.boolean(), z.array(z.string())], {
  error: 'must be text, a number, true, false or a list of texts',
});

/** A kind of value: how it is written, and how it is read. `wrong` says what would be right. */
interface Kind<T> {
  readonly format: string;
  readonly read: (text: string) => { readonly value: T } | { readonly wrong: string };
}

function schemaOf<T>(kind: Kind<T>) {
  return raw.transform((given, context): T => {
    const text = Array.isArray(given) ? given.join(',') : String(given);
    const outcome = kind.read(text.trim());
    if ('value' in outcome) return outcome.value;
    context.addIssue({ code: 'custom', message: outcome.wrong });
    return z.NEVER;
  });
}

interface Described {
  readonly about: string;
  /** The default for the reference page, where the value itself says too little. */
  readonly shown?: string;
  readonly secret?: boolean;
}

function metaOf(kind: Kind<unknown>, described: Described, shown: string): SettingMeta {
  return {
    description: described.about,
    format: kind.format,
    shown: described.shown ?? shown,
    ...(described.secret ? { secret: true } : {}),
  };
}

/** A setting with a default, written as an operator would write it. */
export function setting<T>(kind: Kind<T>, fallback: z.input<typeof raw>, described: Described) {
  return schemaOf(kind)
    .prefault(fallback)
    .register(settingMeta, metaOf(kind, described, shownValue(fallback)));
}

/** A setting that may be absent. */
export function optional<T>(kind: Kind<T>, described: Described) {
  return schemaOf(kind)
    .optional()
    .register(settingMeta, metaOf(kind, described, 'none'));
}

function shownValue(value: z.input<typeof raw>): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ');
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return String(value);
}

export const path: Kind<string> = {
  format: 'path',
  read: (value) => (value.includes('\0') ? { wrong: 'must be a path' } : { value }),
};

export const host: Kind<string> = {
  format: 'host name or address',
  read: (value) =>
    isIP(value) !== 0 || /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(value)
      ? { value }
      : { wrong: 'must be a host name or an IP address, without port' },
};

export const port: Kind<number> = {
  format: 'port (0: any free one)',
  read: (value) => wholeNumber(value, 0, 65_535, 'must be a port, 0 to 65535'),
};

export const portOrOff: Kind<number | undefined> = {
  format: 'port, or `off`',
  read: (value) => (isOff(value) ? { value: undefined } : port.read(value)),
};

export const onOff: Kind<boolean> = {
  format: '`on` or `off`',
  read: (value) => {
    if (/^(on|true|1|yes)$/i.test(value)) return { value: true };
    if (/^(off|false|0|no)$/i.test(value)) return { value: false };
    return { wrong: 'must be on or off' };
  },
};

export function whole(min: number, max: number): Kind<number> {
  return {
    format: `whole number, ${min} to ${max}`,
    read: (value) => wholeNumber(value, min, max, `must be a whole number, ${min} to ${max}`),
  };
}

/** A number from 0 to 1. */
export const share: Kind<number> = {
  format: 'number, 0 to 1',
  read(value) {
    const number = Number(value);
    return /^[0-9.]+$/.test(value) && number >= 0 && number <= 1
      ? { value: number }
      : { wrong: 'must be a number, 0 to 1' };
  },
};

const unitSeconds: Readonly<Record<string, number>> = {
  '': 1,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
};
const format = 'seconds, or a number with `s`, `m`, `h`, `d` or `w`';

/** A duration in seconds: `3600`, `90s`, `10m`, `1h`, `30d`. */
export function duration(minSeconds: number, maxSeconds: number): Kind<number> {
  const range = `${inWords(minSeconds)} to ${inWords(maxSeconds)}`;
  return {
    format: `${format}; ${range}`,
    read(value) {
      const seconds = isOff(value) ? 0 : readDuration(value);
      if (seconds === undefined || seconds < minSeconds || seconds > maxSeconds) {
        return { wrong: `must be a duration such as 90, 10m, 1h or 30d, from ${range}` };
      }
      return { value: seconds };
    },
  };
}

/** A duration, or `off` (also 0): undefined. */
export function durationOrOff(minSeconds: number, maxSeconds: number): Kind<number | undefined> {
  const given = duration(minSeconds, maxSeconds);
  return {
    format: `${given.format}; or \`off\``,
    read: (value) => (isOff(value) ? { value: undefined } : given.read(value)),
  };
}

export function choice<const T extends string>(...values: readonly T[]): Kind<T> {
  return {
    format: values.map((value) => `\`${value}\``).join(', '),
    read(value) {
      const found = values.find((candidate) => candidate.toLowerCase() === value.toLowerCase());
      return found === undefined
        ? { wrong: `must be one of ${values.join(', ')}` }
        : { value: found };
    },
  };
}

/** Several values, separated by commas or spaces, or a JSON list in the file. */
export function list(item: Kind<string>, countMax: number): Kind<readonly string[]> {
  return {
    format: `list, separated by commas: ${item.format}`,
    read(value) {
      const items = value.split(/[\s,]+/).filter((part) => part !== '');
      if (items.length > countMax) return { wrong: `must have at most ${countMax} entries` };
      const values: string[] = [];
      for (const given of items) {
        const outcome = item.read(given);
        if ('wrong' in outcome) return { wrong: `${outcome.wrong} (entry "${given}")` };
        values.push(outcome.value);
      }
      return { value: values };
    },
  };
}

export const label: Kind<string> = {
  format: 'name',
  read: (value) =>
    /^[\w.:/-]{1,100}$/.test(value)
      ? { value }
      : { wrong: 'must have 1 to 100 letters, digits and . _ : / -' },
};

export const scope: Kind<string> = {
  format: 'scope',
  read: (value) =>
    /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(value) ? { value } : { wrong: 'must be a scope' },
};

export const origin: Kind<string> = {
  format: 'origin, as in `https://app.example`',
  read(value) {
    const url = parsedUrl(value);
    return url !== undefined && /^https?:$/.test(url.protocol) && url.origin === value
      ? { value }
      : { wrong: 'must be an origin such as https://app.example, without path or trailing slash' };
  },
};

export const cidr: Kind<string> = {
  format: 'address or range, as in `10.0.0.0/8`',
  read(value) {
    const [address = '', bits, ...more] = value.split('/');
    const family = isIP(address);
    const bitsMax = family === 6 ? 128 : 32;
    const prefix = bits === undefined ? bitsMax : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
    return family === 0 || more.length > 0 || prefix < 0 || prefix > bitsMax
      ? { wrong: 'must be an IP address or a range such as 10.0.0.0/8 or fd00::/8' }
      : { value: `${address}/${prefix}` };
  },
};

/** An http or https URL; whether http will do is decided by the rules of the deployment. */
export const webUrl: Kind<string> = {
  format: 'URL',
  read(value) {
    const url = parsedUrl(value);
    if (url === undefined || !/^https?:$/.test(url.protocol)) {
      return { wrong: 'must be an http or https URL' };
    }
    if (url.username !== '' || url.password !== '') return { wrong: 'must not carry a user name' };
    return { value };
  },
};

export const postgresUrl: Kind<string> = {
  format: '`postgres://` URL',
  read(value) {
    if (!/^postgres(ql)?:\/\/\S+$/.test(value)) return { wrong: 'must be a postgres:// URL' };
    // A socket's URL may have no host, which the URL parser does not take behind a user.
    return URL.canParse(value.replace('@/', '@socket/'))
      ? { value }
      : { wrong: 'must be a postgres:// URL; in a password write / as %2F, # as %23, ? as %3F' };
  },
};

/** A secret from outside: long enough that nobody guesses it. */
export function secret(charactersMin: number): Kind<string> {
  return {
    format: `text of at least ${charactersMin} characters`,
    read: (value) =>
      value.length >= charactersMin && /^[\x21-\x7e]+$/.test(value)
        ? { value }
        : { wrong: `must have at least ${charactersMin} printable characters and no space` },
  };
}

export function parsedUrl(value: string): URL | undefined {
  return URL.canParse(value) ? new URL(value) : undefined;
}

function isOff(value: string): boolean {
  return /^(off|0)$/i.test(value);
}

function wholeNumber(value: string, min: number, max: number, wrong: string) {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : -1;
  return number >= min && number <= max ? { value: number } : { wrong };
}

function readDuration(value: string): number | undefined {
  const match = /^(\d{1,10})\s?([smhdw]?)$/.exec(value);
  if (match === null) return undefined;
  return Number(match[1]) * (unitSeconds[match[2] ?? ''] ?? Number.NaN);
}

/** `3600` as `1h`: the largest unit that divides it. */
function inWords(seconds: number): string {
  for (const unit of ['d', 'h', 'm'] as const) {
    const size = unitSeconds[unit] ?? 1;
    if (seconds >= size && seconds % size === 0) return `${seconds / size}${unit}`;
  }
  return `${seconds}s`;
}
