import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["scripts/thumbnails.ts"], testTimeout: 120_000 } });
