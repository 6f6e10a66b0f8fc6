import { describe, expect, test } from 'vitest';
import { clientOf } from './client-metadata.ts';
import { isRefusal } from './refusal.ts';
import { parseResources, resourceCountMax, validResource } from './resource.ts';

const anyResource = clientOf({ client_id: 'app' });
const oneResource = clientOf({ client_id: 'app', resources: ['https://api.example/'] });

describe('RFC 8707 §2: a resource is an absolute URI without a fragment', () => {
  test.each([
    'https://api.example',
    'https://api.example/v1?tenant=7',
    'urn:example:api',
    'mcp+https://host.example/',
  ])('%s is one', (resource) => {
    expect(validResource(resource)).toBe(true);
    expect(parseResources(anyResource, [resource])).toEqual([resource]);
  });

  test.each([
    '',
    '/v1',
    'api.example',
    '//api.example',
    'https:',
    'https://api.example/#part',
    'https://api.example/#',
    'https://api.example/a b',
    'https://bücher.example',
    'https://api.example/\u0000',
    '1https://api.example',
    `https://api.example/${'a'.repeat(500)}`,
  ])('%j is none', (resource) => {
    expect(validResource(resource)).toBe(false);
    expect(parseResources(anyResource, [resource])).toMatchObject({ refused: 'resource_invalid' });
  });
});

test('no resource is asked for: none is granted', () => {
  expect(parseResources(oneResource, [])).toEqual([]);
});

test('RFC 8707 §2: several resources are taken once each, in their order', () => {
  const asked = ['https://b.example', 'https://a.example', 'https://b.example'];
  expect(parseResources(anyResource, asked)).toEqual(['https://b.example', 'https://a.example']);
});

test('a client with registered resources may ask for these only, byte for byte', () => {
  expect(parseResources(oneResource, ['https://api.example/'])).toEqual(['https://api.example/']);
  for (const other of ['https://api.example', 'https://API.example/', 'https://api.example/x']) {
    expect(parseResources(oneResource, [other])).toMatchObject({ refused: 'resource_invalid' });
  }
});

test('R21: one request names a bounded number of resources', () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) => `https://api-${i}.example`);
  expect(isRefusal(parseResources(anyResource, many(resourceCountMax)))).toBe(false);
  expect(parseResources(anyResource, many(resourceCountMax + 1))).toMatchObject({
    refused: 'resource_invalid',
  });
});
