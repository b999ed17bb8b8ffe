/** The system's Chromium, headless and with a temporary profile. */
import { type BrowserContext, chromium } from "playwright-core";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Path of Chromium; that of Debian by default. */
const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";

const ARGUMENTS = [
  ...["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
  ...["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"],
];

/** Options for starting Chromium. */
export interface Options {
  /** Additional arguments, for example for a fake camera. */
  readonly args?: readonly string[];
  readonly locale?: string;
  readonly viewport?: { width: number; height: number };
  readonly permissions?: string[];
  /** Whether pages may use service workers, which intercept requests before the routes of a test. */
  readonly serviceWorkers?: "allow" | "block";
}

/** Start Chromium with an empty profile; `close` also deletes the profile. */
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
