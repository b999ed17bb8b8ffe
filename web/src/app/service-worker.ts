/**
 * Caches the whole page, so that it works offline, and adds response headers that a simple host does not send.
 *
 * They allow WebAssembly threads, and they restrict the workers, too, to connections to the page's own host.
 */
import { POLICY } from "./policy";

interface Lifetime extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface Fetch extends Lifetime {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

/** The part of `ServiceWorkerGlobalScope` that this script uses. */
interface Scope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: Lifetime) => void): void;
  addEventListener(type: "fetch", listener: (event: Fetch) => void): void;
}

const scope = globalThis as unknown as Scope;

/** Filled in by the build: the files to cache at installation, and those to cache when first requested. */
const { version, files, later } = JSON.parse("__PRECACHE__") as { version: string; files: string[]; later: string[] };

/** Caches are shared by the whole origin, which may host several copies of this page. */
const PREFIX = `facekp-${new URL(scope.registration.scope).pathname}-`;
const CACHE = PREFIX + version;

const urlOf = (file: string) => new URL(file, scope.registration.scope).href;

/** Addresses of the page's files. Other addresses of the host below the page, such as `/docs`, are left alone. */
const ownFiles = new Set([...files, ...later, "index.html"].map(urlOf));

const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Content-Security-Policy": POLICY,
};

scope.addEventListener("install", (event) => {
  event.waitUntil(cacheAll());
});

scope.addEventListener("activate", (event) => {
  event.waitUntil(deleteOtherCaches().then(() => scope.clients.claim()));
});

scope.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method === "GET" && ownFiles.has(origin + pathname)) event.respondWith(answer(event.request));
});

async function cacheAll(): Promise<void> {
  const cache = await caches.open(CACHE);
  // Not all at once: the page itself is loading.
  for (const file of files) {
    // Files that the page has just fetched are only revalidated, if the host sends their age.
    await cache.add(new Request(urlOf(file), { cache: "no-cache" }));
  }
  await scope.skipWaiting();
}

async function deleteOtherCaches(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  }
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const address = request.url.replace(/index\.html(?=[?#]|$)/, ""); // the page is cached under its folder's address
  const cached = await cache.match(address, { ignoreSearch: true });
  const response = cached ?? (await fetch(request));
  if (!response.status) return response; // a redirection or a response of another host: it cannot be modified
  if (!cached && response.ok) {
    await cache.put(request, response.clone()).catch(() => undefined); // no space: it is fetched again next time
  }
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
