import { defineConfig } from "vite";
import { resolve } from "node:path";
import { assets, isolation } from "./scripts/assets.ts";
import { offline } from "./scripts/offline.ts";

const here = import.meta.dirname;

export default defineConfig({
  base: "./", // works from any sub-path
  plugins: [assets(), offline()],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "development|production"] },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { index: resolve(here, "index.html"), "service-worker": resolve(here, "src/app/service-worker.ts") },
      output: {
        // A service worker controls its own folder only, and the page registers it by a fixed name.
        entryFileNames: ({ name }) => (name === "service-worker" ? "[name].js" : "assets/[name]-[hash].js"),
      },
    },
  },
  worker: { format: "es" },
  optimizeDeps: { include: ["onnxruntime-web/wasm", "onnxruntime-web/webgpu", "@zip.js/zip.js"] },
  server: { headers: isolation() },
  preview: { headers: isolation() },
});
