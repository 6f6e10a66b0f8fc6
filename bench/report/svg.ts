/** A picture that reads well on a light and on a dark page: it brings colours for both. */
export function picture(width: number, height: number, title: string, content: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">
<title>${escaped(title)}</title>
<style>
svg { --ink: #1f2328; --faint: #8b949e; --grid: #d8dee4; --page: #ffffff;
  --a: #0969da; --b: #bc4c00; --c: #1a7f37; --d: #8250df;
  font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e6edf3; --faint: #8b949e; --grid: #30363d; --page: #0d1117;
    --a: #58a6ff; --b: #f0883e; --c: #3fb950; --d: #bc8cff; }
}
text { fill: var(--ink); } .faint { fill: var(--faint); } .end { text-anchor: end; }
.middle { text-anchor: middle; } .strong { font-weight: 600; }
.grid { stroke: var(--grid); } .page { fill: var(--page); }
.a { fill: var(--a); } .b { fill: var(--b); } .c { fill: var(--c); } .d { fill: var(--d); }
.line-a, .line-b, .line-c, .line-d, .goal { fill: none; stroke-width: 2; }
.line-a { stroke: var(--a); } .line-b { stroke: var(--b); } .line-c { stroke: var(--c); }
.line-d { stroke: var(--d); } .goal { stroke: var(--ink); }
.dashed { stroke-dasharray: 5 4; }
</style>
<rect class="page" width="${width}" height="${height}" rx="6"/>
${content}
</svg>
`;
}

/** A text at a place; `look` names classes of {@link picture}. */
export function text(x: number, y: number, words: string, look = ''): string {
  const kind = look === '' ? '' : ` class="${look}"`;
  return `<text x="${round(x)}" y="${round(y)}"${kind}>${escaped(words)}</text>`;
}

export function line(x1: number, y1: number, x2: number, y2: number, look: string): string {
  const ends = `x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"`;
  return `<line ${ends} class="${look}"/>`;
}

export function dot(x: number, y: number, radius: number, look: string): string {
  return `<circle cx="${round(x)}" cy="${round(y)}" r="${radius}" class="${look}"/>`;
}

export function path(points: readonly (readonly [number, number])[], look: string): string {
  const steps = points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${round(x)} ${round(y)}`);
  return `<path d="${steps.join(' ')}" class="${look}"/>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
