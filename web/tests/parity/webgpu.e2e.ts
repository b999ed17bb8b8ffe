/** Comparison of WebGPU and WebAssembly on Chromium's software WebGPU, which is correct but very slow. */
import { createServer } from "vite";
import { expect, it } from "vitest";
import { openChromium } from "../browser/chromium";
import type { Backends } from "./page";

const SOFTWARE = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];

it("WebGPU and WebAssembly give the same numbers", { timeout: 300_000 }, async () => {
  const server = await createServer({ server: { port: 0 }, logLevel: "error" });
  await server.listen();
  const context = await openChromium({ args: SOFTWARE });
  try {
    const page = await context.newPage();
    await page.goto(`${server.resolvedUrls!.local[0]}tests/parity/index.html`);
    await page.waitForFunction("globalThis.compareBackends");
    const { gpu, apart } = await page.evaluate<Backends>("compareBackends()");
    console.log(`apart by ${apart.map((each) => each.toExponential(1)).join(", ")}`);
    expect(gpu).toBe(false); // a software adapter is slower and not used
    expect(apart).toHaveLength(2);
    for (const each of apart) expect(each).toBeLessThan(0.01);
  } finally {
    await context.close();
    await server.close();
  }
});
