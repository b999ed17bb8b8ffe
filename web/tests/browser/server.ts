/** A simple web server for the built page. */
import { createReadStream, existsSync, statSync } from "node:fs";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, resolve } from "node:path";

const DIST = resolve(import.meta.dirname, "../../dist");

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
};

/** A running server. */
export interface Host {
  readonly url: string;
  /** Bytes sent so far. */
  readonly sent: () => number;
  close(): Promise<void>;
}

/**
 * Serve `dist/`.
 *
 * @param path - Path of the page on the server, with leading and trailing slash.
 * @param headers - Additional headers of every response.
 */
export async function serve(path = "/", headers: Record<string, string> = {}): Promise<Host> {
  let sent = 0;
  const server: Server = createServer((request, response) => {
    const name = decodeURIComponent(new URL(request.url!, "http://host").pathname);
    const file = resolve(DIST, `.${name.slice(path.length - 1)}`);
    const candidates = name.startsWith(path) && file.startsWith(DIST) ? [file, resolve(file, "index.html")] : [];
    const hit = candidates.find((each) => existsSync(each) && statSync(each).isFile());
    if (!hit) return response.writeHead(404).end();
    const { size, mtimeMs } = statSync(hit);
    const tag = `"${size}-${mtimeMs}"`;
    if (request.headers["if-none-match"] === tag) return response.writeHead(304, { ETag: tag, ...headers }).end();
    sent += size;
    const type = TYPES[extname(hit)] ?? "application/octet-stream";
    response.writeHead(200, { "Content-Type": type, "Content-Length": size, ETag: tag, ...headers });
    createReadStream(hit).pipe(response);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${path}`,
    sent: () => sent,
    close: () =>
      new Promise((done) => {
        server.closeAllConnections();
        server.close(() => done());
      }),
  };
}

/** Headers that make a page cross-origin isolated. */
export const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};
