import { html } from 'hono/html';
import type { Connection, Notice, Session } from './session.ts';

type Markup = ReturnType<typeof html>;

/** The one page that matters: a button to connect, or who is connected and what the app can do. */
export function homePage(session: Session | undefined): Markup {
  const { connection, notice } = session ?? {};
  return layout(
    'Acme Notes',
    html`<h1>Acme Notes</h1>
${notice === undefined ? '' : noticeBox(notice)}
${connection === undefined ? disconnected() : connected(connection)}`,
  );
}

/** A page that only says something. */
export function plainPage(title: string, text: string): Markup {
  return layout(
    `${title} - Acme Notes`,
    html`<h1>${title}</h1><p>${text}</p><p><a href="/">Back to Acme Notes</a></p>`,
  );
}

function disconnected(): Markup {
  return html`<p>A small app by somebody else. It wants to read your notes with your permission, and
never sees your password.</p>
<form method="post" action="/connect"><button id="connect">Connect your account</button></form>`;
}

function connected({ claims, scope, refreshToken }: Connection): Markup {
  const names = ['sub', 'name', 'email', 'email_verified', 'auth_time', 'sid'];
  const rows = names.flatMap((name) => {
    const value = claims[name];
    return value === undefined
      ? []
      : [html`<tr><th scope="row">${name}</th><td id="claim-${name}">${String(value)}</td></tr>`];
  });
  return html`<p>Signed in as <strong id="who">${String(claims.email ?? claims.sub)}</strong></p>
<table><caption>What the ID token says</caption><tbody>${rows}
<tr><th scope="row">granted</th><td id="granted">${scope}</td></tr></tbody></table>
<div class="actions">
${button('call-api', 'Call the API')}
${refreshToken === undefined ? '' : button('refresh', 'Refresh')}
${button('disconnect', 'Disconnect')}
${button('sign-out', 'Sign out')}
</div>`;
}

function button(name: string, label: string): Markup {
  return html`<form method="post" action="/${name}"><button id="${name}">${label}</button></form>`;
}

function noticeBox({ title, text, failed }: Notice): Markup {
  return html`<section id="notice" class="${failed ? 'failed' : 'done'}" role="status">
<h2>${title}</h2><p>${text}</p></section>`;
}

function layout(title: string, body: Markup): Markup {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
:root{color-scheme:light dark}
body{font:17px/1.5 Georgia,"Times New Roman",serif;max-width:40rem;margin:3rem auto;padding:0 1rem}
button{font:inherit;padding:.5rem 1rem;cursor:pointer}
.actions{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}
table{border-collapse:collapse;width:100%}
caption{text-align:left;font-style:italic;padding-bottom:.25rem}
th,td{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top;overflow-wrap:anywhere}
section{border-left:4px solid #2b6b34;padding:.25rem 1rem;overflow-wrap:anywhere}
section.failed{border-color:#b3261e}
h2{font-size:1rem;margin:.5rem 0}
</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}
