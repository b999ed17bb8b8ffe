import { afterEach, beforeEach, expect, it, vi } from "vitest";

const PAGE = "https://host/page/";
const LIST = { version: "1", files: ["./", "assets/a b.js"], later: ["runtime/gpu.mjs"] };

type Listener = (event: { request: Request; respondWith: (response: Promise<Response>) => unknown }) => void;
let fetched: Listener;
let kept: Map<string, Response>;

beforeEach(async () => {
  const parse = JSON.parse;
  vi.spyOn(JSON, "parse").mockImplementation(
    (text: string) => (text === "__PRECACHE__" ? LIST : parse(text)) as unknown,
  );
  kept = new Map();
  const cache = {
    match: async (url: string) => kept.get(url),
    put: async ({ url }: Request, response: Response) => kept.set(url, response),
  };
  vi.stubGlobal("registration", { scope: PAGE });
  vi.stubGlobal("addEventListener", (type: string, listener: Listener) => type === "fetch" && (fetched = listener));
  vi.stubGlobal("caches", { open: async () => cache });
  vi.stubGlobal("fetch", async () => new Response("from the host"));
  vi.resetModules();
  await import("../../src/app/service-worker");
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** Return the service worker's response; undefined if it leaves the request alone. */
async function answer(address: string, init?: RequestInit): Promise<Response | undefined> {
  let answered: Promise<Response> | undefined;
  fetched({ request: new Request(PAGE + address, init), respondWith: (response) => (answered = response) });
  return answered;
}

it.each(["", "?backend=webgpu", "#stickers", "index.html", "assets/a b.js", "runtime/gpu.mjs"])(
  "the page's own %j gets the headers",
  async (address) => {
    const headers = (await answer(address))!.headers;
    expect(headers.get("Content-Security-Policy")).toContain("default-src 'none'");
    expect(headers.get("Cross-Origin-Embedder-Policy")).toBe("require-corp");
  },
);

it.each(["docs", "redoc", "openapi.json", "docs/index.html", "models/own.onnx"])(
  "%j is left alone",
  async (address) => {
    expect(await answer(address)).toBeUndefined();
  },
);

it("other methods are left alone", async () => {
  expect(await answer("", { method: "POST" })).toBeUndefined();
});

it("what is fetched later is kept", async () => {
  await answer("runtime/gpu.mjs");
  expect([...kept.keys()]).toEqual([`${PAGE}runtime/gpu.mjs`]);
});

it("the page is kept under one address", async () => {
  for (const address of ["index.html", "index.html?backend=webgpu", ""]) {
    kept.set(PAGE + address.replace("index.html", ""), new Response("kept"));
    expect(await (await answer(address))!.text()).toBe("kept");
  }
});

it("what there is no room to keep is answered all the same", async () => {
  kept.set = () => {
    throw new DOMException("", "QuotaExceededError");
  };
  expect(await (await answer("runtime/gpu.mjs"))!.text()).toBe("from the host");
});
