/** The page's side of the studio. */
import { type Remote, connect } from "./protocol";
import type { Studio } from "./studio";

/** Start the studio in a worker, so that the page never stutters; on the page itself where workers cannot draw. */
export function startStudio(): Remote<Studio> {
  if (typeof OffscreenCanvas === "undefined") return here(import("./studio").then(({ Studio }) => new Studio()));
  return connect<Studio>(new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "studio" }));
}

/** An object's methods, each answering later. */
function here<T extends object>(loading: Promise<T>): Remote<T> {
  return new Proxy({} as Remote<T>, {
    get:
      (_, method: string) =>
      async (...args: unknown[]) => {
        const target = await loading;
        return (target as Record<string, (...args: unknown[]) => unknown>)[method]!.apply(target, args);
      },
  });
}
