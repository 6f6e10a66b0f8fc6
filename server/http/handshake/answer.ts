import { isRefusal, type Refusal } from '#core/refusal.ts';
import { json, refusalAnswer } from '#server/http/frame/answer.ts';

/** What a handshake door found or decided: 200 with it, or a refusal in Hydra's shape. */
export async function answer(result: Promise<object | Refusal>): Promise<Response> {
  const value = await result;
  return isRefusal(value) ? refusalAnswer(value, { admin: true }) : json(200, value);
}
