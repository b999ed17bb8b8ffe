import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { testTimeout: 30_000, include: ["tests/engine/**/*.test.ts", "tests/app/**/*.test.ts"] },
});
