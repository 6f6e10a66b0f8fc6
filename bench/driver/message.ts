/** Fields of a form or a query; undefined ones are left out. */
export type Fields = Readonly<Record<string, string | undefined>>;

/** As a form and a query write them. */
export function encoded(fields: Fields): string {
  const pairs: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) pairs.push(`${name}=${encodeURIComponent(value)}`);
  }
  return pairs.join('&');
}

/** A GET request with these header lines. */
export function get(path: string, ...headers: readonly string[]): string {
  return message('GET', path, headers, '');
}

/** A POST of a form. */
export function post(path: string, fields: Fields, ...headers: readonly string[]): string {
  const form = 'content-type: application/x-www-form-urlencoded';
  return message('POST', path, [form, ...headers], encoded(fields));
}

/** A request with a JSON body. */
export function json(method: string, path: string, body: unknown, ...headers: string[]): string {
  const type = 'content-type: application/json';
  return message(method, path, [type, ...headers], body === undefined ? '' : JSON.stringify(body));
}

function message(method: string, path: string, headers: readonly string[], body: string): string {
  const lines = [`${method} ${path} HTTP/1.1`, 'host: 127.0.0.1', ...headers];
  if (method !== 'GET') lines.push(`content-length: ${body.length}`);
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}
