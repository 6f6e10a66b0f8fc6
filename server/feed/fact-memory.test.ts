import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createLog } from '#server/operation/log.ts';
import { createMetrics } from '#server/operation/metrics.ts';
import type { Fact, Mortal } from '#server/store/feed.ts';
import { createFactMemory } from './fact-memory.ts';

/** What ended by then is no longer living when pages are read. */
const endedSeconds = 150;

/** A memory of ten facts over a list that stands for the table: pages of three. */
function open(facts: Fact[] = [], over: { fails?: () => boolean } = {}) {
  const lines: string[] = [];
  const pages: number[] = [];
  const gates: (() => void)[] = [];
  const held = { pages: false };
  const memory = createFactMemory({
    factsMax: 10,
    async page(after, upTo) {
      pages.push(after);
      if (held.pages) await new Promise<void>((resolve) => gates.push(resolve));
      if (over.fails?.()) throw new Error('PostgreSQL is away');
      const found = facts.filter((fact) => fact.seq > after && fact.seq <= upTo).slice(0, 3);
      const living = found.filter((fact) => fact.expiresAt > endedSeconds);
      return { facts: living, next: found.length < 3 ? undefined : found.at(-1)?.seq };
    },
    log: createLog({ level: 'debug', write: (line) => lines.push(line) }),
    metrics: createMetrics(),
  });
  const add = (fact: Fact, nowSeconds = 0) => {
    facts.push(fact);
    memory.add(fact, nowSeconds);
  };
  const settle = async () => {
    for (let i = 0; i < 50; i++) await turn();
  };
  return { memory, add, lines, pages, gates, held, settle };
}

const fact = (seq: number, expiresAt: number, over: Partial<Fact> = {}): Fact => ({
  seq,
  kind: 'subject',
  target: `user-${seq}`,
  version: 0,
  expiresAt,
  ...over,
});

const mortal = (subject: string): Mortal => ({
  tokenId: randomUUID(),
  chainId: randomUUID(),
  grantId: randomUUID(),
  sessionId: randomUUID(),
  online: false,
  subject,
  clientId: 'app',
  loginBorn: 0,
  grantBorn: 0,
  grantVersion: 1,
});

describe('R21: revocations in memory are bounded', () => {
  test('as many as the limit are held; with one more none are, and nothing is answered from memory', () => {
    const { memory, add, lines } = open();
    for (let seq = 1; seq <= 10; seq++) add(fact(seq, 1000));
    expect([memory.kills(mortal('user-3')), memory.kills(mortal('nobody'))]).toEqual([true, false]);
    add(fact(11, 1000));
    expect([memory.isOver, memory.size]).toEqual([true, 0]);
    expect([memory.kills(mortal('user-3')), memory.kills(mortal('nobody'))]).toEqual([
      undefined,
      undefined,
    ]);
    expect(lines.join('')).toContain('facts_over_limit');
  });

  test('facts about one target take one place, and the newest decides', () => {
    const { memory, add } = open();
    for (let seq = 1; seq <= 50; seq++) add(fact(seq, 1000 + seq, { target: 'same' }));
    expect([memory.isOver, memory.size]).toEqual([false, 1]);
    expect(memory.kills({ ...mortal('same'), loginBorn: 49 })).toBe(true);
    expect(memory.kills({ ...mortal('same'), loginBorn: 50 })).toBe(false);
  });

  test('a fact that has ended when it is read takes no place; caches are not told by this', () => {
    const { memory, add } = open();
    add(fact(1, 99), 100);
    add(fact(2, 500, { kind: 'client_changed' }), 100);
    add(fact(3, 100), 100);
    expect(memory.size).toBe(1);
  });

  test('what has ended leaves memory by shares', () => {
    const { memory, add } = open();
    for (let seq = 1; seq <= 10; seq++) add(fact(seq, 50 + seq));
    for (let polls = 0; polls < 256; polls++) memory.tidy(56);
    expect(memory.size).toBe(5);
  });
});

describe('a node that was over the limit comes back to memory', () => {
  test('when nine tenths of the limit live on, and not before', async () => {
    const { memory, add, lines, settle } = open();
    for (let seq = 1; seq <= 20; seq++) add(fact(seq, seq <= 11 ? 100 : 1000));
    memory.tidy(50);
    await settle();
    expect(memory.isOver).toBe(true);
    memory.tidy(200);
    await settle();
    expect(memory.isOver).toBe(false);
    expect(memory.kills(mortal('user-20'))).toBe(true);
    expect(lines.join('')).toContain('facts_within_limit');
  });

  test('what polls bring while it reads is not lost', async () => {
    const { memory, add, gates, held, settle } = open();
    for (let seq = 1; seq <= 15; seq++) add(fact(seq, seq <= 11 ? 100 : 1000));
    held.pages = true;
    memory.tidy(200);
    await settle();
    add(fact(16, 1000), 200);
    expect(memory.kills(mortal('user-16'))).toBeUndefined();
    held.pages = false;
    for (const open of gates) open();
    await settle();
    expect(memory.isOver).toBe(false);
    expect(memory.kills(mortal('user-16'))).toBe(true);
    expect(memory.kills(mortal('user-15'))).toBe(true);
  });

  test('it stays over where they do not fit after all, and where they cannot be read', async () => {
    const many = open();
    for (let seq = 1; seq <= 15; seq++) many.add(fact(seq, seq <= 11 ? 100 : 1000));
    many.held.pages = true;
    many.memory.tidy(200);
    await many.settle();
    for (let seq = 16; seq <= 40; seq++) many.add(fact(seq, 1000), 200);
    for (const gate of many.gates) gate();
    many.held.pages = false;
    await many.settle();
    expect(many.memory.isOver).toBe(true);

    let away = true;
    const failing = open([], { fails: () => away });
    for (let seq = 1; seq <= 15; seq++) failing.add(fact(seq, seq <= 11 ? 100 : 1000));
    failing.memory.tidy(200);
    await failing.settle();
    expect(failing.memory.isOver).toBe(true);
    expect(failing.lines.join('')).toContain('facts_not_read');
    away = false;
    failing.memory.tidy(202);
    await failing.settle();
    expect(failing.pages).toHaveLength(1);
    // after a pause it tries again
    failing.memory.tidy(206);
    await failing.settle();
    expect(failing.memory.isOver).toBe(false);
  });
});
