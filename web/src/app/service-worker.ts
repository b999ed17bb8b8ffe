/**
 * Keeps the whole page, so that it works offline; and adds the headers that a plain host leaves out.
 *
 * With them WebAssembly may have threads, and the workers, too, may ask nobody but the page's own host.
 */
import { POLICY } from "./policy";

interface Lifetime extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface Fetch extends Lifetime {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

/** What this script uses of `ServiceWorkerGlobalScope`. */
interface Scope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: Lifetime) => void): void;
  addEventListener(type: "fetch", listener: (event: Fetch) => void): void;
}

const scope = globalThis as unknown as Scope;

/** Filled in by the build: what is kept at once, and what when it is asked for. */
const { version, files, later } = JSON.parse("__PRECACHE__") as { version: string; files: string[]; later: string[] };

/** The cache is the host's; other pages of its may be ours as well. */
const PREFIX = `facekp-${new URL(scope.registration.scope).pathname}-`;
const CACHE = PREFIX + version;

const urlOf = (file: string) => new URL(file, scope.registration.scope).href;

/** Addresses of the page's files. What else its host answers below the page is left alone, such as `/docs`. */
const own = new Set([...files, ...later, "index.html"].map(urlOf));

const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Content-Security-Policy": POLICY,
};

scope.addEventListener("install", (event) => {
  event.waitUntil(keepAll());
});

scope.addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers().then(() => scope.clients.claim()));
});

scope.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method === "GET" && own.has(origin + pathname)) event.respondWith(answer(event.request));
});

async function keepAll(): Promise<void> {
  const cache = await caches.open(CACHE);
  // Not all at once: the page itself is loading.
  for (const file of files) {
    // What the page has just fetched is only asked about, where the host knows a file's age.
    await cache.add(new Request(urlOf(file), { cache: "no-cache" }));
  }
  await scope.skipWaiting();
}

async function forgetOthers(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  }
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const asked = request.url.replace(/index\.html(?=[?#]|$)/, ""); // the page is kept under its folder's address
  const kept = await cache.match(asked, { ignoreSearch: true });
  const response = kept ?? (await fetch(request));
  if (!response.status) return response; // a redirection, or from another host: it cannot be changed
  if (!kept && response.ok) {
    await cache.put(request, response.clone()).catch(() => undefined); // no room: it is fetched again next time
  }
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
