/** Comparison of Python and the browser; run `python web/tests/reference.py --pictures` first. */
import { type ViteDevServer, createServer } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BrowserContext } from "playwright-core";
import { openChromium } from "../browser/chromium";
import type { Comparison } from "./page";

let server: ViteDevServer;
let context: BrowserContext;
let result: Comparison;

beforeAll(async () => {
  server = await createServer({ server: { port: 0 }, logLevel: "error" });
  await server.listen();
  context = await openChromium();
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error(error));
  page.on("console", (message) => console.log(message.text()));
  await page.goto(`${server.resolvedUrls!.local[0]}tests/parity/index.html`);
  await page.waitForFunction("globalThis.compare");
  result = await page.evaluate<Comparison>("compare()");
}, 300_000);

afterAll(async () => {
  await context?.close();
  await server?.close();
});

const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

describe("Python and the browser", () => {
  it("find the same faces", () => {
    expect(result.points.filter((each) => each.python !== each.browser)).toEqual([]);
  });

  it("find the same points", () => {
    const errors = result.points.flatMap((each) => each.errors);
    const percent = (value: number) => `${(100 * value).toFixed(3)} %`;
    const worst = Math.max(...errors);
    const faces = errors.length / 68;
    console.log(`${faces} faces: median ${percent(median(errors))}, worst ${percent(worst)} of the eye distance`);
    console.log(`scores: worst ${Math.max(...result.points.flatMap((each) => each.scores)).toFixed(4)}`);
    for (const { name, errors: own } of result.points) {
      const most = Math.max(...own);
      if (most > 0.005) console.log(`  ${name}: worst ${percent(most)}`);
    }
    expect(median(errors)).toBeLessThan(0.003);
    expect(worst).toBeLessThan(0.01);
  });

  it("place stickers alike", () => {
    console.log(`placement: worst ${result.placement.toExponential(1)} px`);
    expect(result.placement).toBeLessThan(1);
  });

  it("draw stickers alike", () => {
    for (const { name, mean, worst } of result.stickers) {
      if (mean > 1) console.log(`  ${name}: mean ${mean.toFixed(2)}, worst ${worst} levels`);
    }
    const meanOf = (drawn: readonly { mean: number }[]) =>
      drawn.reduce((sum, each) => sum + each.mean, 0) / drawn.length;
    const packs = [...new Set(result.stickers.map(({ pack }) => pack))];
    const means = packs.map((pack) => ({ pack, mean: meanOf(result.stickers.filter((each) => each.pack === pack)) }));
    means.sort((a, b) => b.mean - a.mean);
    console.log(
      `stickers: mean ${meanOf(result.stickers).toFixed(2)}, worst pack ${means[0]!.pack} ${means[0]!.mean.toFixed(2)}, ` +
        `worst picture ${Math.max(...result.stickers.map(({ mean }) => mean)).toFixed(2)}`,
    );
    for (const { name, mean } of result.stickers) expect(mean, name).toBeLessThan(2);
  });
});
