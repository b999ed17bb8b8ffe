import { defineConfig } from "vite";
import { resolve } from "node:path";

/** The engine as an ES module; ONNX Runtime and the zip library are external dependencies. */
export default defineConfig({
  publicDir: false,
  build: {
    target: "es2022",
    outDir: "lib",
    minify: false,
    lib: { entry: resolve(import.meta.dirname, "src/engine/index.ts"), formats: ["es"], fileName: () => "facekp.js" },
    rollupOptions: { external: [/^onnxruntime-web/, /^@zip\.js/] },
  },
});
