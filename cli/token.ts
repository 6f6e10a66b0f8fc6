import { readConfig } from '#server/config/environment.ts';
import { type Admin, openAdmin } from './admin.ts';
import { Failure, type Input, type Terminal } from './command.ts';
import { type Document, documentOf, noSubject, showDocument } from './listing.ts';
import { readToken } from './password-prompt.ts';

/** `gatehouse token introspect`; exit code 0 also for a token that is dead: the answer says so. */
export async function tokenIntrospect(input: Input, terminal: Terminal): Promise<number> {
  const admin = await openAdmin(readConfig());
  showDocument(input, terminal, await introspected(admin, await readToken()));
  return 0;
}

async function introspected(admin: Admin, token: string): Promise<Document> {
  const form = new URLSearchParams({ token });
  return documentOf((await admin.call('POST', '/admin/oauth2/introspect', form)).body);
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
  const revoke = async (target: Readonly<Record<string, string>>) =>
    documentOf((await admin.call('POST', '/admin/revocations', { ...target, reason })).body);
  if (other === undefined) {
    const token = await readToken();
    const lives = (await introspected(admin, token)).get('active') === true;
    await revoke({ token });
    terminal.out(lives ? 'The token is revoked.' : 'The token was dead already.');
    return 0;
  }
  const { known } = Object.fromEntries(await revoke({ [other.field]: other.id }));
  if (known !== true) throw unknown(other);
  terminal.out(`Everything of the ${other.word} ${other.id} is revoked.`);
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
