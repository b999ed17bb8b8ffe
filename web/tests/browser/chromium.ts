/** A headless Chromium of the system, with a profile of its own. */
import { type BrowserContext, chromium } from "playwright-core";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where Chromium lies; Debian's by default. */
const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";

const ARGUMENTS = [
  ...["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
  ...["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"],
];

/** What a test may want of Chromium. */
export interface Options {
  /** More arguments, such as a fake camera. */
  readonly args?: readonly string[];
  readonly locale?: string;
  readonly viewport?: { width: number; height: number };
  readonly permissions?: string[];
  /** Whether pages may have service workers; those answer before a test does. */
  readonly serviceWorkers?: "allow" | "block";
}

/** Start Chromium with an empty profile; `close` removes that, too. */
export async function openChromium(options: Options = {}): Promise<BrowserContext> {
  const profile = await mkdtemp(join(tmpdir(), "facekp-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: EXECUTABLE,
    headless: true,
    chromiumSandbox: process.getuid?.() !== 0,
    args: [...ARGUMENTS, ...(options.args ?? [])],
    locale: options.locale ?? "en-US",
    viewport: options.viewport ?? { width: 1280, height: 900 },
    permissions: options.permissions ?? [],
    serviceWorkers: options.serviceWorkers ?? "allow",
    acceptDownloads: true,
  });
  context.on("close", () => void rm(profile, { recursive: true, force: true, maxRetries: 9 }).catch(() => undefined));
  return context;
}
