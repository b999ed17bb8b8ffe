/**
 * The built page with a fake camera of 1280x720, one face and two stickers: frames per second, long tasks, memory.
 *
 * `SECONDS=600` measures for ten minutes.
 */
import { readFileSync, readdirSync } from "node:fs";
import { it } from "vitest";
import { openChromium } from "../tests/browser/chromium.ts";
import { makeFilm } from "../tests/browser/film.ts";
import { ISOLATED, serve } from "../tests/browser/server.ts";

const SECONDS = Number(process.env.SECONDS ?? 20);

/** Clock ticks per second in `/proc`. */
const TICKS = 100;

/** Return the memory in MB (shared pages counted once) and the CPU time in seconds of all descendant processes. */
function usage(): { memory: number; cpu: number } {
  const parents = new Map<number, number>();
  const ticks = new Map<number, number>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      parents.set(Number(pid), Number(fields[1]));
      ticks.set(Number(pid), Number(fields[11]) + Number(fields[12]));
    } catch {
      // The process has ended.
    }
  }
  const isOurs = (pid: number): boolean => pid === process.pid || (pid > 1 && isOurs(parents.get(pid) ?? 0));
  let [kilobytes, time] = [0, 0];
  for (const pid of parents.keys()) {
    if (pid === process.pid || !isOurs(pid)) continue;
    time += ticks.get(pid)!;
    try {
      kilobytes += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
    } catch {
      // The process has ended.
    }
  }
  return { memory: Math.round(kilobytes / 1024), cpu: time / TICKS };
}

it.each([
  ["threads", ISOLATED],
  ["one thread", {}],
])(
  "live, %s",
  async (name, headers) => {
    const host = await serve("/", headers);
    const film = await makeFilm();
    const context = await openChromium({
      args: [
        ...["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--enable-precise-memory-info"],
        `--use-file-for-fake-video-capture=${film}`,
      ],
    });
    try {
      // Measure the page alone; a service worker would add the headers that this host does not send.
      await context.addInitScript(() => {
        Object.defineProperty(navigator, "serviceWorker", { value: undefined });
        const seen = { frames: [] as number[], tasks: [] as number[] };
        Object.assign(globalThis, { seen });
        const prototype = ImageBitmapRenderingContext.prototype;
        // eslint-disable-next-line @typescript-eslint/unbound-method
        const transfer = prototype.transferFromImageBitmap;
        prototype.transferFromImageBitmap = function (picture) {
          if ((this.canvas as HTMLCanvasElement).id === "canvas") seen.frames.push(performance.now());
          transfer.call(this, picture);
        };
        const observer = new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) seen.tasks.push(duration);
        });
        observer.observe({ type: "longtask" });
      });
      const page = await context.newPage();
      await page.goto(host.url);
      await page.waitForSelector("html[data-ready]");
      await page.click("#camera");
      await page.waitForFunction(() => document.getElementById("status")!.textContent === "1 face.");
      await page.click('[data-name="sunglasses"]');
      await page.click('[data-name="crown"]');
      await page.waitForTimeout(3000);
      const measure = () =>
        page.evaluate(
          async (milliseconds) => {
            const { seen } = globalThis as unknown as { seen: { frames: number[]; tasks: number[] } };
            seen.frames.length = seen.tasks.length = 0;
            await new Promise((done) => setTimeout(done, milliseconds));
            const steps = seen.frames.slice(1).map((time, i) => time - seen.frames[i]!);
            steps.sort((a, b) => a - b);
            return {
              frames: seen.frames.length,
              fps: Math.round((10_000 * seen.frames.length) / milliseconds) / 10,
              step: {
                median: Math.round(steps[steps.length >> 1]!),
                p95: Math.round(steps[(steps.length * 0.95) | 0]!),
              },
              longTasks: seen.tasks.map(Math.round),
            };
          },
          Math.min(SECONDS, 20) * 1000,
        );
      const rows = [];
      for (let elapsed = 0; elapsed < SECONDS; elapsed += 20) {
        const before = usage();
        const seen = await measure();
        const after = usage();
        // CPU milliseconds of all processes together, including the fake camera.
        const cpuPerFrame = Math.round((1000 * (after.cpu - before.cpu)) / Math.max(seen.frames, 1));
        rows.push({ ...seen, cpuPerFrame, memory: after.memory });
      }
      console.log(name, SECONDS > 20 ? "" : JSON.stringify(rows[0]));
      if (SECONDS > 20) {
        const tasks = rows.flatMap((row) => row.longTasks);
        console.log(`memory, MB: ${rows.map((row) => row.memory).join(" ")}`);
        console.log(`fps: ${rows.map((row) => row.fps).join(" ")}; tasks over 50 ms: ${tasks.join(" ") || "none"}`);
      }
    } finally {
      await context.close();
      await host.close();
    }
  },
  (SECONDS + 60) * 1000,
);
