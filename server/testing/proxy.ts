import { createConnection, createServer, type Server, type Socket } from 'node:net';

/** A TCP proxy between a node and PostgreSQL that fails in the ways that networks fail. */
export interface TestProxy {
  /** The same database, through the proxy. */
  through(url: string): string;
  /** From here on nothing passes, either way, and nobody is told: packets are dropped. */
  hold(): void;
  /** What was held passes on. */
  release(): void;
  /** Breaks every connection at once, with a reset; new ones pass. */
  cut(): void;
  /** Breaks every connection, and every new one as soon as it comes, until {@link accept}. */
  refuse(): void;
  accept(): void;
  /**
   * The next `count` statements that name `statement` reach PostgreSQL and are carried out, but
   * instead of the answer the connection breaks: whether they were committed is not known.
   */
  loseAnswers(statement: string, count: number): void;
  /** How many answers were lost so far. */
  lost(): number;
  close(): Promise<void>;
}

/** Starts a proxy to PostgreSQL on `port` of 127.0.0.1. */
export async function openProxy(port: number): Promise<TestProxy> {
  const pairs = new Set<Pair>();
  const fate: Fate = { held: false, refused: false, statement: '', answersToLose: 0, lost: 0 };
  const server = createServer((near) => {
    if (fate.refused) {
      near.on('error', () => {});
      near.resetAndDestroy();
      return;
    }
    const far = createConnection({ host: '127.0.0.1', port });
    const pair = join(near, far, fate, () => pairs.delete(pair));
    pairs.add(pair);
    if (fate.held) pair.hold();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const each = (act: (pair: Pair) => void) => {
    for (const pair of [...pairs]) act(pair);
  };
  return {
    through: (url) => throughPort(url, portOf(server)),
    hold() {
      fate.held = true;
      each((pair) => pair.hold());
    },
    release() {
      fate.held = false;
      each((pair) => pair.release());
    },
    cut: () => each((pair) => pair.cut()),
    refuse() {
      fate.refused = true;
      each((pair) => pair.cut());
    },
    accept() {
      fate.refused = false;
    },
    loseAnswers(statement, count) {
      fate.statement = statement;
      fate.answersToLose = count;
    },
    lost: () => fate.lost,
    async close() {
      each((pair) => pair.cut());
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Fate {
  held: boolean;
  refused: boolean;
  statement: string;
  answersToLose: number;
  lost: number;
}

interface Pair {
  hold(): void;
  release(): void;
  cut(): void;
}

/** ReadyForQuery in no transaction: the statement before it is committed. */
const committed = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

function join(near: Socket, far: Socket, fate: Fate, ended: () => void): Pair {
  let losing = false;
  const end = () => {
    near.destroy();
    far.destroy();
    ended();
  };
  for (const socket of [near, far]) socket.on('error', end).on('close', end);
  near.on('data', (data) => {
    if (fate.answersToLose > 0 && data.includes(`\0${fate.statement}\0`)) {
      fate.answersToLose -= 1;
      losing = true;
    }
    far.write(data);
  });
  far.on('data', (data) => {
    if (!losing) near.write(data);
    else if (data.includes(committed)) {
      fate.lost += 1;
      near.resetAndDestroy();
    }
  });
  return {
    hold() {
      near.pause();
      far.pause();
    },
    release() {
      near.resume();
      far.resume();
    },
    cut() {
      near.resetAndDestroy();
      end();
    },
  };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** By TCP, also where the URL named a Unix socket. */
function throughPort(url: string, port: number): string {
  const changed = new URL(url);
  changed.searchParams.delete('host');
  changed.hostname = '127.0.0.1';
  changed.port = String(port);
  return changed.href;
}
