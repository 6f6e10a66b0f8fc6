import type { IncomingMessage, ServerResponse } from 'node:http';
import type Provider from 'oidc-provider';

/** The pages of a login app, without their display: a sign-in and a consent, one POST each. */
export async function interact(
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const form = new URLSearchParams(await bodyOf(request));
  if (request.url?.endsWith('/login') === true) {
    const result = { login: { accountId: form.get('subject') ?? '', remember: false } };
    await provider.interactionFinished(request, response, result);
    return;
  }
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  const accountId = session?.accountId;
  if (prompt.name !== 'consent' || accountId === undefined) {
    response.writeHead(409).end('nobody is asked for consent here');
    return;
  }
  const grant = new provider.Grant({ accountId, clientId: String(params.client_id) });
  const { missingOIDCScope } = prompt.details;
  if (Array.isArray(missingOIDCScope)) grant.addOIDCScope(missingOIDCScope.join(' '));
  const result = { consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}
