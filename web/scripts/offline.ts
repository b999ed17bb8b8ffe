/** Offline use and isolation of the page: the file list of the service worker, and the content security policy. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import type { Plugin } from "vite";
import { POLICY } from "../src/app/policy.ts";

const PUBLIC = resolve(import.meta.dirname, "../public");

/** Files that most visits do not need: ONNX Runtime with WebGPU. */
const LATER = /asyncify|\bort\.webgpu/;

/** Return the Vite plugin. */
export function offline(): Plugin {
  return {
    name: "facekp-offline",
    apply: "build",
    transformIndexHtml() {
      return [
        {
          tag: "meta",
          attrs: { "http-equiv": "Content-Security-Policy", content: POLICY },
          injectTo: "head-prepend",
        },
      ];
    },
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const worker = bundle["service-worker.js"];
        if (worker?.type !== "chunk") throw new Error("the build has no service worker");
        const hash = createHash("sha256");
        const files = Object.values(bundle).filter((file) => file !== worker && !file.fileName.endsWith(".map"));
        for (const file of files.sort((a, b) => a.fileName.localeCompare(b.fileName))) {
          hash.update(file.fileName).update(file.type === "chunk" ? file.code : file.source);
        }
        for (const name of copied()) hash.update(name).update(readFileSync(resolve(PUBLIC, name)));
        const names = ["./", ...copied(), ...files.map((file) => file.fileName)];
        const cached = names.filter((name) => name !== "index.html");
        const list = {
          version: hash.digest("hex").slice(0, 16),
          files: cached.filter((name) => !LATER.test(name)),
          later: cached.filter((name) => LATER.test(name)),
        };
        const filled = worker.code.replace(/["'`]__PRECACHE__["'`]/, () => JSON.stringify(JSON.stringify(list)));
        if (filled === worker.code) throw new Error("the service worker has no place for its list");
        worker.code = filled;
      },
    },
  };
}

/** Return the files of `public/`, which Vite copies without adding them to the bundle. */
function copied(): string[] {
  const entries = readdirSync(PUBLIC, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => resolve(entry.parentPath, entry.name));
  return files.map((file) => relative(PUBLIC, file).replaceAll("\\", "/")).sort();
}
