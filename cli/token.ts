import { readConfig } from '#server/config/environment.ts';
import { openAdmin } from './admin.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { documentOf, noSubject, showDocument } from './listing.ts';
import { readToken } from './password-prompt.ts';

/** `gatehouse token introspect`; exit code 0 also for a token that is dead: the answer says so. */
export async function tokenIntrospect(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  const form = new URLSearchParams({ token: await readToken() });
  const { body } = await admin.call('POST', '/admin/oauth2/introspect', form);
  showDocument(input, terminal, documentOf(body));
  return 0;
}

/** Options of `token revoke` that name something else than a token, and what the door calls it. */
const others = [
  ['subject', 'subject', 'person'],
  ['client', 'client_id', 'client'],
  ['chain', 'chain', 'chain'],
] as const;
type Word = (typeof others)[number][2];

/** `gatehouse token revoke` */
export async function tokenRevoke(input: Input, terminal: Terminal): Promise<number> {
  const named = others.flatMap(([option, field, word]) => {
    const id = input.text(option);
    return id === undefined ? [] : [{ field, word, id }];
  });
  const [other, ...more] = named;
  if (more.length > 0) throw new Failure('--subject, --client and --chain exclude each other.');
  const reason = input.text('reason');
  const admin = await openAdmin(readConfig());
  const target = other === undefined ? { token: await readToken() } : { [other.field]: other.id };
  const { body } = await admin.call('POST', '/admin/revocations', { ...target, reason });
  if (other !== undefined && documentOf(body).get('known') !== true) throw unknown(other);
  terminal.out(
    other === undefined
      ? 'The token is revoked.'
      : `Everything of the ${other.word} ${other.id} is revoked.`,
  );
  return 0;
}

/** Nothing died, or only what was under way. */
function unknown({ word, id }: { readonly word: Word; readonly id: string }): Failure {
  const hints: Readonly<Record<Word, string>> = {
    person: noSubject,
    client: '`client list` shows the clients that there are.',
    chain: 'The id of a chain is in the audit log, and in `gh` of a JWT.',
  };
  return new Failure(`There is nothing of a ${word} "${id}" to revoke. ${hints[word]}`);
}
