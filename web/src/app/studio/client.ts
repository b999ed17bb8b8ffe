/** Access to the studio from the page. */
import { type Remote, connect } from "./protocol";
import type { Studio } from "./studio";

/** Start the studio in a worker, so that the page stays responsive; on the page itself if workers cannot draw. */
export function startStudio(): Remote<Studio> {
  if (typeof OffscreenCanvas === "undefined") return asRemote(import("./studio").then(({ Studio }) => new Studio()));
  return connect<Studio>(new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "studio" }));
}

/** Return an asynchronous interface to an object that is being loaded in this thread. */
function asRemote<T extends object>(loading: Promise<T>): Remote<T> {
  return new Proxy({} as Remote<T>, {
    get:
      (_, method: string) =>
      async (...args: unknown[]) => {
        const target = await loading;
        return (target as Record<string, (...args: unknown[]) => unknown>)[method]!.apply(target, args);
      },
  });
}
