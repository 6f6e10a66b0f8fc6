import { expect, test } from 'vitest';
import { verdictOn } from './vulnerabilities.ts';

const answer = (counts: Readonly<Record<string, number>>) =>
  JSON.stringify({
    auditReportVersion: 2,
    vulnerabilities: {},
    metadata: { vulnerabilities: counts },
  });

test.each([
  [answer({ high: 1, moderate: 2 }), true, 'audited: 1 high, 2 moderate'],
  [answer({ critical: 1 }), true, 'audited: 1 critical'],
  [answer({ moderate: 2, low: 1 }), false, 'audited: 2 moderate, 1 low'],
  [answer({ high: 0, total: 0 }), false, 'audited: no known vulnerabilities'],
  ['{"message":"405 Method Not Allowed","error":{}}', false, 'not audited'],
  ['', false, 'not audited'],
])('%s', (printed, refused, sentence) => {
  const verdict = verdictOn(printed);
  expect(verdict.refused).toBe(refused);
  expect(verdict.sentence).toContain(sentence);
});
