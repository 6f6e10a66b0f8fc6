import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectLinear, hostileJson, hostileText } from '#server/testing/hostile.ts';
import { loadConfig } from './config.ts';
import { readFailpoint } from './failpoint.ts';
import { fileName, nearest, settingKeys, variableName } from './names.ts';

const variables = settingKeys.map(variableName);
const examples = [
  '10m',
  '1',
  'off',
  'https://a.example',
  '127.0.0.1',
  'postgres://u:p@h/d',
  'RS256',
];

/** A configuration, or a refusal to start that says what is wrong. */
function outcomeOf(env: Readonly<Record<string, string>>, file = '{}'): 'taken' | 'refused' {
  try {
    loadConfig({ env, readFile: () => file });
    return 'taken';
  } catch (error) {
    // A bug would be a TypeError without a sentence for the operator.
    expect(String(error)).toMatch(/GATEHOUSE_|setting|configuration|file|JSON/i);
    expect(error).not.toBeInstanceOf(TypeError);
    return 'refused';
  }
}

describe('settings', () => {
  test('any text of any variable is taken, or refused by a sentence', () => {
    const one = fc.tuple(fc.constantFrom(...variables), hostileText(...examples));
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(one, { maxLength: 3 }), (given) => {
        seen.add(outcomeOf(Object.fromEntries(given)));
      }),
      { numRuns: 1_000 },
    );
    expect([...seen].sort()).toEqual(['refused', 'taken']);
  });

  test('any JSON of a file, too', () => {
    const file = hostileJson(...settingKeys.map(fileName)).map((value) => JSON.stringify(value));
    fc.assert(
      fc.property(fc.oneof(file, hostileText('{"issuer":"https://a.example"}')), (text) => {
        outcomeOf({ GATEHOUSE_CONFIG: 'file.json' }, text);
      }),
      { numRuns: 700 },
    );
  });

  test('any text costs linear time', () => {
    const all = (text: string) =>
      outcomeOf(Object.fromEntries(variables.map((variable) => [variable, text])));
    expectLinear(all, 1_000);
  });

  test('a failpoint is any text', () => {
    fc.assert(
      fc.property(hostileText('commit_before:once'), (text) => {
        readFailpoint(text);
      }),
    );
  });

  test('the nearest name is looked for among few, in bounded time', () => {
    expectLinear((text) => nearest(text, variables), 1_000);
  });
});
