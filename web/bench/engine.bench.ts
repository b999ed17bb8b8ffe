/** Prints the processing times of the engine in the system's Chromium. */
import { createServer } from "vite";
import { it } from "vitest";
import { openChromium } from "../tests/browser/chromium";

it.each([1, 2])(
  "engine, %i thread(s)",
  async (threads) => {
    const server = await createServer({ server: { port: 0 }, logLevel: "error" });
    await server.listen();
    const context = await openChromium();
    try {
      const page = await context.newPage();
      await page.goto(`${server.resolvedUrls!.local[0]}bench/index.html`);
      await page.waitForFunction("globalThis.engine");
      console.log(JSON.stringify(await page.evaluate(`engine(${threads})`)));
    } finally {
      await context.close();
      await server.close();
    }
  },
  120_000,
);
