import { defineConfig } from "vite";
import { resolve } from "node:path";
import { assets, isolation } from "./scripts/assets.ts";

const here = import.meta.dirname;

export default defineConfig({
  base: "./", // works from any sub-path
  plugins: [assets()],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "development|production"] },
  build: {
    target: "es2022",
    rollupOptions: { input: { index: resolve(here, "index.html") } },
  },
  worker: { format: "es" },
  optimizeDeps: { include: ["onnxruntime-web/wasm", "@zip.js/zip.js"] },
  server: { headers: isolation() },
  preview: { headers: isolation() },
});
