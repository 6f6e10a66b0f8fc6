import { expect, test } from 'vitest';
import { verdictOn } from './vulnerabilities.ts';

const answer = (counts: Readonly<Record<string, number>>) =>
  JSON.stringify({
    auditReportVersion: 2,
    vulnerabilities: {},
    metadata: { vulnerabilities: counts },
  });

const none = answer({ high: 0, total: 0 });

test.each([
  [answer({ high: 1, moderate: 2 }), none, true, 'audited: 1 high (0 in production), 2 moderate'],
  [answer({ critical: 1 }), none, true, 'audited: 1 critical'],
  [answer({ moderate: 2, low: 1 }), none, false, '2 moderate (0 in production), 1 low'],
  [answer({ moderate: 2 }), answer({ moderate: 1 }), true, '2 moderate (1 in production)'],
  [answer({ low: 1 }), answer({ low: 1 }), true, '1 low (1 in production)'],
  [answer({ info: 1 }), answer({ info: 1 }), false, '1 info (1 in production)'],
  [none, none, false, 'audited: no known vulnerabilities'],
  ['{"message":"405 Method Not Allowed","error":{}}', none, false, 'not audited'],
  [none, '', false, 'not audited'],
  ['', '', false, 'not audited'],
])('all %s, in production %s', (ofAll, ofProduction, refused, sentence) => {
  const verdict = verdictOn(ofAll, ofProduction);
  expect(verdict.refused).toBe(refused);
  expect(verdict.sentence).toContain(sentence);
});
