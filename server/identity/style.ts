import { createHash } from 'node:crypto';

/** The one style sheet of the pages: small, so it travels with the page and costs no request. */
export const style = `
:root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--ink:#1a1d21;--soft:#545b66;--line:#d9dde3;
--field:#fff;--edge:#7d8590;--accent:#1f5fd0;--on-accent:#fff;--accent-hover:#184da9;--hover:#eef1f5;
--bad:#b3261e;--bad-ground:#fdf0ef;--bad-line:#eab8b4;--amber:#7a4b00;--amber-ground:#fff3d6;
--amber-line:#e6c36a;--code:#eef0f3}
@media (prefers-color-scheme:dark){:root{--ground:#101215;--card:#1a1d21;--ink:#eceef1;--soft:#a9b1bc;
--line:#32373e;--field:#121417;--edge:#7d8590;--accent:#8ab4ff;--on-accent:#0b1a33;--accent-hover:#a9c8ff;
--hover:#24282e;--bad:#ffb4ab;--bad-ground:#35191a;--bad-line:#6e3432;--amber:#ffd58a;
--amber-ground:#33270d;--amber-line:#6b5320;--code:#262a30}}
*,*::before,*::after{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;min-height:100vh;min-height:100dvh;display:flex;flex-direction:column;align-items:center;
justify-content:center;padding:24px 16px;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{width:100%;max-width:440px;background:var(--card);border:1px solid var(--line);border-radius:16px;
padding:32px;box-shadow:0 1px 2px rgb(0 0 0/.04),0 12px 32px rgb(0 0 0/.06)}
h1{margin:0 0 4px;font-size:24px;line-height:1.25;letter-spacing:-.01em;overflow-wrap:anywhere;text-wrap:balance}
h2{margin:24px 0 8px;font-size:15px;line-height:1.4}
p{margin:0 0 16px}
.lead{color:var(--soft);margin-bottom:24px;overflow-wrap:anywhere}
.lead strong{color:var(--ink)}
a{color:var(--accent);text-underline-offset:2px}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.app{display:flex;align-items:center;gap:14px;margin-bottom:20px}
.app p{margin:0;color:var(--soft);font-size:14px;overflow-wrap:anywhere}
.app .name{color:var(--ink);font-size:16px;font-weight:600}
.tile{flex:none;width:48px;height:48px;border-radius:12px;display:grid;place-items:center;color:#fff;
font-size:22px;font-weight:600}
.tile-0{background:#1f5fd0}.tile-1{background:#6b3fc4}.tile-2{background:#a8326e}
.tile-3{background:#a3401a}.tile-4{background:#2b6b34}.tile-5{background:#0f6a73}
.badge{display:inline-block;margin-top:6px;padding:1px 8px;border:1px solid var(--amber-line);border-radius:999px;
background:var(--amber-ground);color:var(--amber);font-size:13px;font-weight:600}
.field{margin-bottom:18px}
.field label{display:block;margin-bottom:6px;font-weight:600;font-size:15px}
.field input{width:100%;min-height:46px;padding:10px 12px;border:1px solid var(--edge);border-radius:10px;
background:var(--field);color:var(--ink);font:inherit}
.field input[aria-invalid=true]{border-color:var(--bad)}
.field .hint{margin:6px 0 0;color:var(--soft);font-size:14px}
.check{display:flex;gap:12px;align-items:flex-start;margin-bottom:20px}
.check input,.scope input{flex:none;width:20px;height:20px;margin:2px 0 0;accent-color:var(--accent)}
.message{margin:0 0 20px;padding:12px 14px;border:1px solid var(--bad-line);border-radius:10px;
background:var(--bad-ground);color:var(--bad)}
.notice{margin:0 0 20px;padding:12px 14px;border:1px solid var(--amber-line);border-radius:10px;
background:var(--amber-ground);color:var(--amber);font-size:15px;overflow-wrap:anywhere}
.scopes{list-style:none;margin:0;padding:0;border:1px solid var(--line);border-radius:12px}
.scopes li+li{border-top:1px solid var(--line)}
.scope{display:flex;gap:12px;padding:12px 14px}
.scope label{flex:1;min-width:0;overflow-wrap:anywhere}
.scope small{display:block;color:var(--soft);font-size:14px}
.facts{margin:0 0 20px;font-size:15px}
.facts div{display:flex;flex-wrap:wrap;gap:0 8px;padding:8px 0;border-bottom:1px solid var(--line)}
.facts dt{color:var(--soft);flex:0 0 112px}
.facts dd{margin:0;flex:1 1 200px;overflow-wrap:anywhere;font-weight:600}
.actions{display:flex;flex-wrap:wrap;gap:12px;margin-top:24px}
.actions button,.actions a{flex:1 1 140px}
button,.button{display:inline-block;min-height:46px;padding:10px 18px;border:1px solid var(--edge);border-radius:10px;
background:transparent;color:var(--ink);font:inherit;font-weight:600;text-align:center;text-decoration:none;
cursor:pointer}
button:hover,.button:hover{background:var(--hover)}
button.primary{border-color:transparent;background:var(--accent);color:var(--on-accent)}
button.primary:hover{background:var(--accent-hover)}
/* Half a second during which a click does nothing: the second half of a double click on another
page must not become a consent here. The keyboard is not affected. */
@keyframes arm{from{pointer-events:none}to{pointer-events:none}}
.armed{animation:arm .5s step-end}
footer{margin-top:24px;color:var(--soft);font-size:14px}
footer p{margin:0 0 4px}
code{padding:1px 5px;border-radius:5px;background:var(--code);font:14px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,
monospace;overflow-wrap:anywhere}
bdi{unicode-bidi:isolate}
.quiet{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media (max-width:480px){body{justify-content:flex-start;padding:0;background:var(--card)}
main{max-width:none;border:0;border-radius:0;padding:28px 20px;box-shadow:none}}
@media (forced-colors:active){.tile,.badge,main{border:1px solid}}
`;

/** What the Content-Security-Policy says of {@link style}. */
export const styleHash = `'sha256-${createHash('sha256').update(style).digest('base64')}'`;
