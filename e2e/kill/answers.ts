import { call } from '../deployment.ts';
import { connect, door } from '../login-app.ts';
import { deeds } from './deeds.ts';
import { active, hop, type Make, someone } from './stage.ts';

/** What is asked of the door whose answer never leaves. */
export const answers: Readonly<Record<string, Make>> = {
  'answer.authorize': (stage) => hop(stage, 'consent'),
  'answer.token': deeds.redeem ?? ((stage) => hop(stage, 'login')),
  'answer.introspect': async (stage) => {
    const { a, app } = stage;
    const { access } = await connect(a, app, someone());
    return { act: (node) => node.postAs(app, '/oauth2/introspect', { token: access }) };
  },
  'answer.revoke': async (stage) => {
    const { a, app } = stage;
    const { access } = await connect(a, app, someone());
    return {
      act: (node) => node.postAs(app, '/oauth2/revoke', { token: access }),
      happened: async () => !(await active(stage, access)),
    };
  },
  'answer.userinfo': async (stage) => {
    const { a, app } = stage;
    const { access } = await connect(a, app, someone());
    return { act: (node) => node.userinfo(access) };
  },
  'answer.logout': async () => ({
    act: (node) => call(`${node.server.publicUrl}/oauth2/sessions/logout`),
  }),
  'answer.handshake': async () => ({ act: (node) => node.admin('GET', door('login', 'none')) }),
  'answer.sessions': async (stage) => {
    const { a, app } = stage;
    const who = someone();
    const { access } = await connect(a, app, who);
    const path = `/admin/oauth2/auth/sessions/consent?subject=${who.login.subject}&all=true`;
    return {
      act: (node) => node.admin('DELETE', path),
      happened: async () => !(await active(stage, access)),
    };
  },
  'answer.tokens': async (stage) => {
    const { a } = stage;
    const client = await a.register();
    const { access } = await connect(a, client, someone());
    return {
      act: (node) => node.admin('DELETE', `/admin/oauth2/tokens?client_id=${client.id}`),
      happened: async () => !(await active(stage, access)),
    };
  },
  'answer.clients': deeds.insert_client ?? ((stage) => hop(stage, 'login')),
  'answer.keys': deeds.replace_keys ?? ((stage) => hop(stage, 'login')),
  'answer.revocations': deeds.revoke ?? ((stage) => hop(stage, 'login')),
  'answer.grants': deeds.grant_narrow ?? ((stage) => hop(stage, 'login')),
  'answer.credentials': deeds.insert_admin_credential ?? ((stage) => hop(stage, 'login')),
};
