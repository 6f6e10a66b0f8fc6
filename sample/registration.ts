/** The id that the start command registers the sample app under. */
export const sampleClientId = 'sample-app';

/** What the sample app asks for; `notes.read` is the scope of its own API. */
export const sampleScope = 'openid offline_access profile email notes.read';

/**
 * The registration of the sample app, as a developer would send it to `POST /admin/clients`.
 * `sampleUrl` is where it runs, without a trailing slash.
 */
export function sampleClient(sampleUrl: string) {
  return {
    client_id: sampleClientId,
    client_name: 'Acme Notes',
    client_uri: `${sampleUrl}/`,
    policy_uri: `${sampleUrl}/privacy`,
    tos_uri: `${sampleUrl}/terms`,
    redirect_uris: [`${sampleUrl}/callback`],
    post_logout_redirect_uris: [`${sampleUrl}/signed-out`],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    scope: sampleScope,
    token_endpoint_auth_method: 'client_secret_basic',
  } as const;
}
