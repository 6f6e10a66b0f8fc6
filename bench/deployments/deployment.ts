import type { App, Visitor } from '../driver/visitor.ts';
import type { DatabaseGauge } from '../measure/database.ts';

/** `floor`: what a login cannot do without, and nothing else (bench/floor). */
export type Product = 'gatehouse' | 'oidc-provider' | 'floor';

/** A server with a PostgreSQL of its own, which the driver can visit. */
export interface Deployment {
  readonly product: Product;
  /** Processes that answer requests. */
  readonly processes: number;
  /** Root of the server's process tree. */
  readonly serverPid: number;
  /** Root of its PostgreSQL's. */
  readonly postgresPid: number;
  readonly gauge: DatabaseGauge;
  /** One registered app per signature algorithm. */
  readonly apps: Readonly<Record<App['alg'], App>>;
  visitor(): Visitor;
  /** Heap in use of all its processes together, with what is garbage by now. */
  heapBytes(): Promise<number>;
  /** Throws with the end of its log when it has ended by itself. */
  ensureAlive(): void;
  stop(): Promise<void>;
}

/** How a deployment is called in tables. */
export function nameOf(deployment: Pick<Deployment, 'product' | 'processes'>): string {
  return `${deployment.product} x${deployment.processes}`;
}

/** Everything is asked for on loopback, and nobody listens here. */
export const redirectUri = 'http://127.0.0.1:9/callback';
