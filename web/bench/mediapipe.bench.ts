/** Comparison of MediaPipe's face mesh and the engine, in the same browser on the same frames. */
import { createServer } from "vite";
import { it } from "vitest";
import { openChromium } from "../tests/browser/chromium.ts";

it("MediaPipe's face mesh beside the engine", async () => {
  const server = await createServer({ server: { port: 0 }, logLevel: "error" });
  await server.listen();
  // Its graph needs WebGL, which the CPU emulates here.
  const context = await openChromium({ args: ["--enable-unsafe-swiftshader"] });
  try {
    const page = await context.newPage();
    page.on("pageerror", (error) => console.log(String(error)));
    await page.goto(`${server.resolvedUrls!.local[0]!}bench/index.html`);
    await page.addScriptTag({ url: "/node_modules/@mediapipe/face_mesh/face_mesh.js" });
    await page.waitForFunction("globalThis.mediapipe");
    console.log(JSON.stringify(await page.evaluate("mediapipe()")));
    console.log(JSON.stringify(await page.evaluate("tracked()")));
  } finally {
    await context.close();
    await server.close();
  }
});
