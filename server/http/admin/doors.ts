import type { AdminRole } from '#server/store/credential.ts';

/** The paths that a set of roles opens; the role `all` opens every one. */
export interface AdminDoor {
  /** As Hono matches it: `/*` at the end is this path and everything below. */
  readonly path: string;
  readonly roles: readonly AdminRole[];
}

/** Who may open which admin door. The admin app guards by it, the API's description quotes it. */
export const adminDoors: readonly AdminDoor[] = [
  { path: '/admin/oauth2/auth/*', roles: ['handshake'] },
  { path: '/admin/oauth2/introspect', roles: ['handshake', 'clients'] },
  { path: '/admin/oauth2/tokens', roles: ['clients'] },
  { path: '/admin/clients/*', roles: ['clients'] },
  { path: '/admin/keys/*', roles: ['keys'] },
  { path: '/admin/revocations', roles: ['handshake', 'clients'] },
  { path: '/admin/grants/*', roles: ['handshake', 'clients'] },
  { path: '/admin/sessions', roles: ['handshake', 'clients'] },
  { path: '/admin/credentials/*', roles: ['all'] },
  { path: '/admin/audit', roles: ['audit'] },
  { path: '/metrics', roles: ['metrics'] },
  { path: '/admin/metrics/*', roles: ['metrics'] },
];

/** The roles that open a path besides `all`; undefined: the path has no door and is open. */
export function rolesFor(path: string): readonly AdminRole[] | undefined {
  return adminDoors.find((door) =>
    door.path.endsWith('/*') ? `${path}/`.startsWith(door.path.slice(0, -1)) : path === door.path,
  )?.roles;
}
