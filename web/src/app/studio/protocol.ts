/** Method calls between threads: one message per call, one per reply. */
import { type Code, type Details, UserError, reasonOf } from "../../engine/errors";

/** A method call. */
interface Request {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** The return value of a call, or the reason why it failed. */
type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly failed: { code?: Code; details?: Details; reason: string } };

/** The methods of an object, all of them asynchronous. */
export type Remote<T> = {
  [K in keyof T as T[K] extends (...args: never[]) => unknown ? K : never]: T[K] extends (...args: infer A) => infer R
    ? (...args: A) => Promise<Awaited<R>>
    : never;
};

/** The message interface of a worker, as seen from inside it. */
export interface Port {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(message: unknown, transfer: Transferable[]): void;
}

/** Answer calls of an object's methods, in the thread that owns the object. */
export function expose(target: object, port: Port): void {
  const methods = target as Record<string, (...args: readonly unknown[]) => unknown>;
  port.onmessage = ({ data }) => void answer(data);
  const answer = async ({ id, method, args }: Request) => {
    try {
      const value = await methods[method]!(...args);
      port.postMessage({ id, value } satisfies Reply, transferablesOf([value]));
    } catch (error) {
      const known = error instanceof UserError ? { code: error.code, details: error.details } : {};
      port.postMessage({ id, failed: { ...known, reason: reasonOf(error) } } satisfies Reply, []);
    }
  };
}

/** Return the methods of an object that a worker provides with `expose`. */
export function connect<T extends object>(worker: Worker): Remote<T> {
  const waiting = new Map<number, { done: (value: unknown) => void; failed: (error: Error) => void }>();
  let next = 0;
  worker.onmessage = ({ data }: MessageEvent<Reply>) => {
    const caller = waiting.get(data.id);
    waiting.delete(data.id);
    if ("value" in data) return caller?.done(data.value);
    const { code, details, reason } = data.failed;
    caller?.failed(code ? new UserError(code, details) : new Error(reason));
  };
  worker.onerror = (event) => {
    for (const { failed } of waiting.values()) failed(new Error(event.message || "the worker stopped"));
    waiting.clear();
  };
  return new Proxy({} as Remote<T>, {
    get:
      (_, method: string) =>
      (...args: unknown[]) =>
        new Promise((done, failed) => {
          waiting.set(next, { done, failed });
          worker.postMessage({ id: next++, method, args } satisfies Request, transferablesOf(args));
        }),
  });
}

/** Return the images and files among values; they are transferred between threads instead of being copied. */
function transferablesOf(values: readonly unknown[]): Transferable[] {
  return values.flatMap((value): Transferable[] => {
    if (value instanceof ImageBitmap) return [value];
    if (typeof VideoFrame !== "undefined" && value instanceof VideoFrame) return [value];
    if (isShown(value)) return [value.image];
    if (value instanceof Uint8Array) return [value.buffer as ArrayBuffer];
    if (value instanceof Map) return transferablesOf([...value.values()]);
    return [];
  });
}

function isShown(value: unknown): value is { image: ImageBitmap } {
  return typeof value === "object" && value !== null && "image" in value && value.image instanceof ImageBitmap;
}
