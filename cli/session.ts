import { readConfig } from '#server/config/environment.ts';
import { openAdmin } from './admin.ts';
import type { Input, Terminal } from './command.ts';
import { field, limitOf, listOf, showListing } from './listing.ts';

/** `gatehouse session list` */
export async function sessionList(input: Input, terminal: Terminal): Promise<number> {
  const limit = limitOf(input);
  const admin = await openAdmin(readConfig());
  const subject = input.operand(0);
  const sessions = await listOf(admin, '/admin/sessions', { subject }, limit);
  showListing(input, terminal, sessions, {
    heading: ['session_id', 'state', 'signed in', 'until', 'kept'],
    cells: (session) => [
      field(session, 'session_id'),
      field(session, 'state'),
      field(session, 'authenticated_at'),
      field(session, 'expires_at'),
      session.get('remember') === true ? 'yes' : 'no',
    ],
    none: `${subject} has not signed in lately.`,
    limit,
  });
  return 0;
}

/** `gatehouse session sign-out` */
export async function sessionSignOut(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const query = new URLSearchParams({ subject: input.operand(0) });
  await admin.call('DELETE', `/admin/oauth2/auth/sessions/login?${query}`);
  terminal.out('They are signed out everywhere. Apps they connected stay connected.');
  return 0;
}

/** `gatehouse session revoke` */
export async function sessionRevoke(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const session = input.operand(0);
  await admin.call('POST', '/admin/revocations', { session, reason: input.text('reason') });
  terminal.out(`Session ${session} is revoked, with every token that came of it.`);
  return 0;
}
