import { readConfig } from '#server/config/environment.ts';
import { openAdmin } from './admin.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { documentOf, field, limitOf, listOf, noSubject, showListing } from './listing.ts';

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
  const subject = input.operand(0);
  const query = new URLSearchParams({ subject });
  const [seen] = await listOf(admin, '/admin/sessions', { subject }, 1);
  // also where nothing is seen: a sign-in may be under way
  await admin.call('DELETE', `/admin/oauth2/auth/sessions/login?${query}`);
  if (seen === undefined) throw new Failure(`${subject} has not signed in lately. ${noSubject}`);
  terminal.out('They are signed out everywhere. Apps they connected stay connected.');
  return 0;
}

/** `gatehouse session revoke` */
export async function sessionRevoke(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const session = input.operand(0);
  const revocation = { session, reason: input.text('reason') };
  const { body } = await admin.call('POST', '/admin/revocations', revocation);
  if (documentOf(body).get('known') !== true) {
    throw new Failure(
      `There is no session "${session}"; \`session list\` shows those of a person.`,
    );
  }
  terminal.out(`Session ${session} is revoked, with every token that came of it.`);
  return 0;
}
