import { type Refusal, refuse } from '#core/refusal.ts';
import type { Ctx } from '#server/http/frame/answer.ts';

/** Entries on a page of an admin listing: Hydra's bounds. More than the most is cut to it. */
export const pageSizeDefault = 250;
export const pageSizeMax = 1000;
const pageTokenCharsMax = 512;

export interface Page {
  readonly size: number;
  /** The key of the last entry before this page; '' for the first page. */
  readonly after: string;
}

/** Reads `page_size` and `page_token`; refuses what is not a count or not a token of ours. */
export function pageOf(c: Ctx): Page | Refusal {
  const sizeText = c.req.query('page_size') ?? '';
  if (!/^[0-9]{0,9}$/.test(sizeText)) {
    return refuse('invalid_parameter', `page_size must be a number, 1 to ${pageSizeMax}`);
  }
  const size = Math.min(Number(sizeText) || pageSizeDefault, pageSizeMax);
  const token = c.req.query('page_token') ?? '';
  if (token === '') return { size, after: '' };
  const after = Buffer.from(token, 'base64url').toString();
  const isOurs = Buffer.from(after).toString('base64url') === token && !after.includes('\0');
  return isOurs && token.length <= pageTokenCharsMax
    ? { size, after }
    : refuse('invalid_parameter', 'page_token is not one that a listing has given');
}

/** The `Link` header as Hydra writes it: the first page and, where there is one, the next. */
export function pageLinks(c: Ctx, page: Page, nextAfter: string | undefined): string {
  const link = (rel: string, after: string) => {
    const query = new URLSearchParams(c.req.query());
    query.set('page_size', String(page.size));
    query.delete('page_token');
    if (after !== '') query.set('page_token', Buffer.from(after).toString('base64url'));
    return `<${c.req.path}?${query}>; rel="${rel}"`;
  };
  const first = link('first', '');
  return nextAfter === undefined ? first : `${first},${link('next', nextAfter)}`;
}
