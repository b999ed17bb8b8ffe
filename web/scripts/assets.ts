/** Files that the page needs besides its code: networks, stickers, ONNX Runtime; built or served during development. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const web = resolve(import.meta.dirname, "..");
const shipped = resolve(web, "../facekp/shipped");
const stickers = resolve(web, "../assets/stickers");
const runtime = resolve(web, "node_modules/onnxruntime-web/dist");

const NETWORKS = ["face_crop_light", "face_detector"];
/** Files of ONNX Runtime, without and with WebGPU. */
const RUNTIMES = ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.asyncify"];

/** Address of a file of the page -> function that reads its content. */
type Sources = Map<string, () => Buffer>;

function sources(): Sources {
  const files: Sources = new Map();
  const copy = (address: string, path: string) => files.set(address, () => readFileSync(path));
  for (const name of NETWORKS) copy(`models/${name}/model.onnx`, resolve(shipped, `${name}.onnx`));
  const packs = readdirSync(stickers).filter((name) => existsSync(resolve(stickers, name, "manifest.json")));
  for (const name of packs) {
    const included = readdirSync(resolve(stickers, name)).filter((file) => /\.(png|json)$/.test(file));
    for (const file of included) copy(`stickers/${name}/${file}`, resolve(stickers, name, file));
  }
  const listed = packs.sort().map((name) => ({ name, title: titleOf(resolve(stickers, name, "manifest.json")) }));
  files.set("stickers/index.json", () => Buffer.from(JSON.stringify(listed)));
  for (const name of RUNTIMES) {
    copy(`runtime/${name}.mjs`, resolve(runtime, `${name}.mjs`));
    // Compressed to a quarter of the size, also on hosts that do not compress.
    const binary = () => gzipSync(readFileSync(resolve(runtime, `${name}.wasm`)), { level: 9 });
    files.set(`runtime/${name}.wasm.gz`, binary);
  }
  files.set("licences.txt", () => Buffer.from(LIBRARIES.map(licenceOf).join("\n\n")));
  return files;
}

/** Libraries shipped with the page. */
const LIBRARIES = ["onnxruntime-web", "@zip.js/zip.js"];

/** Return the name, version and licence of a library, with its licence text if it has one. */
function licenceOf(name: string): string {
  const folder = resolve(web, "node_modules", name);
  const metadata = JSON.parse(readFileSync(resolve(folder, "package.json"), "utf8")) as Record<string, string>;
  const text = resolve(folder, "LICENSE");
  const heading = `${name} ${metadata.version ?? ""}, ${metadata.license ?? ""}`;
  return existsSync(text) ? `${heading}\n\n${readFileSync(text, "utf8")}` : heading;
}

function titleOf(manifest: string): string {
  return (JSON.parse(readFileSync(manifest, "utf8")) as { title: string }).title;
}

const TYPES: Record<string, string> = { mjs: "text/javascript", json: "application/json", png: "image/png" };

/** Return the headers that make a page cross-origin isolated, which WebAssembly threads require. */
export function isolation(): Record<string, string> {
  if (process.env.FACEKP_ISOLATED === "0") return {};
  return { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
}

/** Return files that only tests and benchmarks use; they are served, but not built. */
function devSources(): Sources {
  return new Map([["bench/astronaut.png", () => readFileSync(resolve(web, "../assets/photos/astronaut.png"))]]);
}

/** Return the Vite plugin. */
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
