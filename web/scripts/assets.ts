/** What the page needs beside its own code: networks, stickers, ONNX Runtime; copied into the build, served in dev. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const web = resolve(import.meta.dirname, "..");
const shipped = resolve(web, "../facekp/shipped");
const stickers = resolve(web, "../assets/stickers");
const runtime = resolve(web, "node_modules/onnxruntime-web/dist");

const NETWORKS = ["face_crop_light", "face_detector"];
/** ONNX Runtime's files: without WebGPU, and with it. */
const RUNTIMES = ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.asyncify"];

/** Address of a file of the page -> the bytes of it. */
type Sources = Map<string, () => Buffer>;

function sources(): Sources {
  const files: Sources = new Map();
  const copy = (address: string, path: string) => files.set(address, () => readFileSync(path));
  for (const name of NETWORKS) copy(`models/${name}/model.onnx`, resolve(shipped, `${name}.onnx`));
  const packs = readdirSync(stickers).filter((name) => existsSync(resolve(stickers, name, "manifest.json")));
  for (const name of packs) {
    const wanted = readdirSync(resolve(stickers, name)).filter((file) => /\.(png|json)$/.test(file));
    for (const file of wanted) copy(`stickers/${name}/${file}`, resolve(stickers, name, file));
  }
  const listed = packs.sort().map((name) => ({ name, title: titleOf(resolve(stickers, name, "manifest.json")) }));
  files.set("stickers/index.json", () => Buffer.from(JSON.stringify(listed)));
  for (const name of RUNTIMES) {
    copy(`runtime/${name}.mjs`, resolve(runtime, `${name}.mjs`));
    // Packed, so that it is a quarter as large on every host.
    const binary = () => gzipSync(readFileSync(resolve(runtime, `${name}.wasm`)), { level: 9 });
    files.set(`runtime/${name}.wasm.gz`, binary);
  }
  files.set("licences.txt", () => Buffer.from(LIBRARIES.map(licenceOf).join("\n\n")));
  return files;
}

/** Libraries that the page ships. */
const LIBRARIES = ["onnxruntime-web", "@zip.js/zip.js"];

/** Name, version and licence of a library, with the text that comes with it. */
function licenceOf(name: string): string {
  const folder = resolve(web, "node_modules", name);
  const about = JSON.parse(readFileSync(resolve(folder, "package.json"), "utf8")) as Record<string, string>;
  const text = resolve(folder, "LICENSE");
  const heading = `${name} ${about.version ?? ""}, ${about.license ?? ""}`;
  return existsSync(text) ? `${heading}\n\n${readFileSync(text, "utf8")}` : heading;
}

function titleOf(manifest: string): string {
  return (JSON.parse(readFileSync(manifest, "utf8")) as { title: string }).title;
}

const TYPES: Record<string, string> = { mjs: "text/javascript", json: "application/json", png: "image/png" };

/** What makes a page cross-origin isolated, so that WebAssembly may have threads. */
export function isolation(): Record<string, string> {
  if (process.env.FACEKP_ISOLATED === "0") return {};
  return { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
}

/** Files that only tests and benchmarks look at; served, never built. */
function devSources(): Sources {
  return new Map([["bench/astronaut.png", () => readFileSync(resolve(web, "../assets/photos/astronaut.png"))]]);
}

/** The Vite plugin. */
export function assets(): Plugin {
  return {
    name: "facekp-assets",
    configureServer(server) {
      const files = new Map([...sources(), ...devSources()]);
      server.middlewares.use((request, response, next) => {
        const address = decodeURIComponent((request.url ?? "").replace(/^\//, "").replace(/\?.*/, ""));
        const read = files.get(address);
        if (!read) return next();
        for (const [header, value] of Object.entries(isolation())) response.setHeader(header, value);
        response.setHeader("Content-Type", TYPES[address.split(".").at(-1)!] ?? "application/octet-stream");
        response.end(read());
      });
    },
    generateBundle() {
      for (const [fileName, read] of sources()) this.emitFile({ type: "asset", fileName, source: read() });
    },
  };
}
