/** Draws the thumbnails of the shipped stickers: run `npm run thumbnails` on a built page after changing the packs. */
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { it } from "vitest";
import { openChromium } from "../tests/browser/chromium.ts";
import { serve } from "../tests/browser/server.ts";

const FOLDER = resolve(import.meta.dirname, "../public/thumbnails");

it("draws thumbnails", async () => {
  const host = await serve();
  const context = await openChromium({ serviceWorkers: "block" });
  try {
    const page = await context.newPage();
    await page.route("**/thumbnails/*", (route) => route.abort()); // so that the page draws them itself
    await page.goto(host.url);
    await page.waitForFunction(() => {
      const buttons = [...document.querySelectorAll("#choices button")];
      return buttons.length > 0 && buttons.every((button) => button.querySelector("canvas"));
    });
    const thumbnails = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>("#choices button")].map((button): [string, string] => {
        const shown = button.querySelector("canvas")!;
        const copy = Object.assign(document.createElement("canvas"), { width: shown.width, height: shown.height });
        copy.getContext("2d")!.drawImage(shown, 0, 0);
        return [button.dataset.name!, copy.toDataURL("image/png").split(",")[1]!];
      }),
    );
    mkdirSync(FOLDER, { recursive: true });
    for (const [name, data] of thumbnails) writeFileSync(resolve(FOLDER, `${name}.png`), Buffer.from(data, "base64"));
  } finally {
    await context.close();
    await host.close();
  }
});
