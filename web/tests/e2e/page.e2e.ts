/** Tests of the built page in Chromium; they need `npm run build` first. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Options, openChromium } from "../browser/chromium";
import { ASTRONAUT, makeFilm } from "../browser/film";
import { type Host, ISOLATED, serve } from "../browser/server";
import { zip } from "./archives";

const WEB = resolve(import.meta.dirname, "../..");
const SCREENS = resolve(WEB, "tests/.screens");
const STICKERS = resolve(WEB, "../assets/stickers");

let host: Host;
let film: string;
let context: BrowserContext | undefined;

/** Errors on the page, and its requests to other hosts. */
let problems: string[] = [];

beforeAll(async () => {
  host = await serve("/some/where/", ISOLATED);
  film = await makeFilm();
}, 120_000);

afterAll(() => host?.close());

afterEach(async () => {
  await context?.close();
  context = undefined;
  const lastProblems = problems;
  problems = [];
  expect(lastProblems).toEqual([]);
});

const FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];

async function open(options: Options = {}, url = host.url): Promise<Page> {
  context = await openChromium(options);
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    const { protocol, host: requestedHost } = new URL(request.url());
    if (protocol.startsWith("http") && requestedHost !== new URL(url).host) problems.push(`asked ${request.url()}`);
  });
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  await page.goto(url);
  await page.waitForSelector("html[data-ready]", { timeout: 30_000 });
  return page;
}

const camera = (args: string[] = []) => open({ args: [...FAKE, `--use-file-for-fake-video-capture=${film}`, ...args] });
const shot = (page: Page, name: string) => page.screenshot({ path: resolve(SCREENS, `${name}.png`) });
const status = (page: Page) => page.locator("#status");
const problem = (page: Page) => page.locator("#problem");
const sticker = (page: Page, name: string) => page.locator(`#choices [data-name="${name}"]`);

/** Return the mean of the canvas's colour values, 0..255. */
const colours = (page: Page) =>
  page.evaluate(() => {
    const canvas = document.getElementById("canvas") as HTMLCanvasElement;
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext("2d")!;
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, copy.width, copy.height);
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) sum += data[at]! + data[at + 1]! + data[at + 2]!;
    return sum / (0.75 * data.length);
  });

async function choosePhoto(page: Page): Promise<void> {
  await page.setInputFiles("#photo", ASTRONAUT);
  await expect.poll(() => status(page).textContent()).toBe("1 face.");
}

/** Open the page, start the camera and wait until a face is found. */
async function filming(): Promise<Page> {
  const page = await camera();
  await page.click("#camera");
  await expect.poll(() => status(page).textContent()).toBe("1 face.");
  return page;
}

/** Delay cameras and microphones; return a function that reads the states of their tracks so far. */
async function slowDevices(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const devices = navigator.mediaDevices;
    const ask = devices.getUserMedia.bind(devices);
    const tracks: MediaStreamTrack[] = [];
    devices.getUserMedia = async (wanted) => {
      await new Promise((done) => setTimeout(done, 500));
      const stream = await ask(wanted);
      tracks.push(...stream.getTracks());
      return stream;
    };
    Object.assign(globalThis, { states: () => tracks.map(({ readyState }) => readyState) });
  });
  return () => page.evaluate(() => (globalThis as unknown as { states: () => string[] }).states());
}

describe("a photo", () => {
  it("wears the stickers that are chosen, and is saved", async () => {
    const page = await open();
    await shot(page, "start");
    await choosePhoto(page);
    const bare = await colours(page);
    await sticker(page, "sunglasses").click();
    await sticker(page, "crown").click();
    await expect.poll(() => colours(page)).not.toBe(bare);
    expect(await sticker(page, "crown").getAttribute("aria-pressed")).toBe("true");
    await page.check("#points");
    await page.check("#boxes");
    await page.waitForTimeout(300);
    await shot(page, "photo");
    await page.uncheck("#points");
    await page.uncheck("#boxes");
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#picture")]);
    expect(download.suggestedFilename()).toMatch(/^facekp-.*\.png$/);
    expect(statSync(await download.path()).size).toBeGreaterThan(100_000);
    await sticker(page, "sunglasses").click();
    await sticker(page, "crown").click();
    await expect.poll(() => colours(page)).toBeCloseTo(bare, 1);
  });

  it("may be dropped and pasted", async () => {
    const page = await open();
    for (const kind of ["drop", "paste"] as const) {
      await page.evaluate(
        async ([event, bytes]) => {
          const file = new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], "a.png", { type: "image/png" });
          const transfer = new DataTransfer();
          transfer.items.add(file);
          const dropped = event === "drop";
          const init = { bubbles: true, [dropped ? "dataTransfer" : "clipboardData"]: transfer };
          document.body.dispatchEvent(dropped ? new DragEvent("drop", init) : new ClipboardEvent("paste", init));
        },
        [kind, readFileSync(ASTRONAUT).toString("base64")] as const,
      );
      await expect.poll(() => status(page).textContent()).toBe("1 face.");
      await page.click("#stop");
      await expect.poll(() => page.locator("#hint").isVisible()).toBe(true);
      await page.evaluate(() => (document.getElementById("status")!.textContent = ""));
    }
  });

  it("wears what was chosen last, also where packs come slowly or not at all", async () => {
    const page = await open({ serviceWorkers: "block" });
    await choosePhoto(page);
    const bare = await colours(page);
    let late: () => void = () => {};
    const arrived = new Promise<void>((done) => (late = done));
    await page.route("**/stickers/crown/**", async (route) => {
      await arrived;
      await route.continue();
    });
    await sticker(page, "crown").click();
    await sticker(page, "crown").click();
    late();
    await page.waitForTimeout(1500);
    expect(await colours(page)).toBeCloseTo(bare, 1);
    await page.route("**/stickers/dog/**", (route) => route.fulfill({ status: 404 }));
    await sticker(page, "dog").click();
    await expect.poll(() => problem(page).textContent()).toContain("dog");
    problems = problems.filter((each) => !each.includes("404"));
    expect(await sticker(page, "dog").getAttribute("aria-pressed")).toBe("false");
    await sticker(page, "halo").click();
    await expect.poll(() => colours(page)).not.toBeCloseTo(bare, 1);
    // A pack that fails late does not remove a sticker that was selected while it was loading.
    let fail: () => void = () => {};
    const failed = new Promise<void>((done) => (fail = done));
    await page.route("**/stickers/tiger/**", async (route) => {
      await failed;
      await route.fulfill({ status: 404 });
    });
    await sticker(page, "tiger").click();
    await sticker(page, "cat").click();
    fail();
    await expect.poll(() => problem(page).textContent()).toContain("tiger");
    problems = problems.filter((each) => !each.includes("404"));
    expect(await sticker(page, "tiger").getAttribute("aria-pressed")).toBe("false");
    expect(await sticker(page, "cat").getAttribute("aria-pressed")).toBe("true");
  });

  it("that is damaged is named", async () => {
    const page = await open();
    await page.setInputFiles("#photo", { name: "bad.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
    await expect.poll(() => problem(page).textContent()).toContain("bad.png: not an image");
    expect(await status(page).textContent()).toBe("Ready.");
    await choosePhoto(page);
    expect(await problem(page).isVisible()).toBe(false);
  });
});

describe("the camera", () => {
  it("shows the face with stickers, mirrored or not, and is recorded", async () => {
    const page = await camera();
    await page.check("#rate");
    await page.click("#camera");
    await expect.poll(() => status(page).textContent()).toBe("1 face.");
    const requested: string[] = [];
    context!.on("request", (request) => requested.push(request.url().split("/stickers/")[1] ?? ""));
    await sticker(page, "dog").click();
    await sticker(page, "halo").click();
    await expect
      .poll(() => page.locator("#meter").textContent(), { timeout: 10_000 })
      .toMatch(/^\d+ frames per second$/);
    await page.waitForTimeout(1500);
    await shot(page, "camera");
    expect(requested.filter((file) => file === "dog/manifest.json")).toHaveLength(1);
    await page.click("#mirror");
    expect(await page.locator("#mirror").getAttribute("aria-pressed")).toBe("false");
    await page.click("#record");
    await page.waitForTimeout(2500);
    expect(await page.locator("#record").textContent()).toBe("Stop recording");
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#record")]);
    expect(download.suggestedFilename()).toMatch(/\.(webm|mp4)$/);
    const video = readFileSync(await download.path());
    expect(video.length).toBeGreaterThan(50_000);
    expect(video.includes("opus") || video.includes("Opus") || video.includes("mp4a")).toBe(true); // it has sound
    await page.click("#flip");
    await expect.poll(() => status(page).textContent()).toBe("1 face.");
    await page.click("#stop");
    await expect.poll(() => page.locator("#hint").isVisible()).toBe(true);
    expect(await status(page).textContent()).toBe("Ready.");
    // Stop is disabled now, so the focus moves to the Camera button.
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("camera");
  });

  it("that is asked for twice at once, or left before it is on, is switched off", async () => {
    const page = await camera();
    const states = await slowDevices(page);
    await page.dblclick("#camera");
    await expect.poll(states).toEqual(["live"]);
    await expect.poll(() => status(page).textContent()).toBe("1 face.");
    await page.click("#flip");
    await expect.poll(() => status(page).textContent()).toBe("Starting the camera…");
    await page.setInputFiles("#photo", ASTRONAUT);
    await expect.poll(() => status(page).textContent()).toBe("1 face.");
    await expect.poll(states).toEqual(["ended", "ended"]);
    expect(await page.isDisabled("#record")).toBe(true);
  });

  it("is not recorded where the browser has no encoder, and the page says so", async () => {
    const page = await filming();
    await page.evaluate(() => (MediaRecorder.isTypeSupported = () => false));
    await page.click("#record");
    await expect.poll(() => problem(page).textContent()).toContain("This browser cannot record");
    await expect.poll(() => page.isEnabled("#record")).toBe(true);
    expect(await page.locator("#record").getAttribute("data-word")).toBe("record");
  });

  it("has its microphone switched off, however often Record is pressed", async () => {
    const page = await filming();
    const states = await slowDevices(page);
    await page.dblclick("#record");
    await expect.poll(states).toEqual(["live"]);
    await expect.poll(() => page.locator("#record").getAttribute("data-word")).toBe("recordStop");
    await page.waitForTimeout(1500);
    await page.click("#stop");
    await expect.poll(states).toEqual(["ended"]);
    await expect.poll(() => page.isDisabled("#record")).toBe(true);
    await page.click("#camera");
    await expect.poll(() => page.isEnabled("#record")).toBe(true);
    await page.click("#record");
    await page.click("#stop"); // before the microphone is available
    await expect.poll(states).toEqual(["ended", "ended", "ended"]);
    expect(await page.isDisabled("#record")).toBe(true);
    expect(await page.locator("#record").getAttribute("data-word")).toBe("record");
  });

  it("that is unplugged is said", async () => {
    const page = await filming();
    await page.evaluate(() => {
      const film = document.getElementById("film") as HTMLVideoElement;
      (film.srcObject as MediaStream).getVideoTracks()[0]!.dispatchEvent(new Event("ended"));
    });
    await expect.poll(() => problem(page).textContent()).toContain("The camera was disconnected");
    expect(await page.isDisabled("#stop")).toBe(true);
  });

  it("ends although its recording is empty", async () => {
    const page = await filming();
    await page.evaluate(() => {
      const capture = HTMLCanvasElement.prototype.captureStream; // eslint-disable-line @typescript-eslint/unbound-method
      HTMLCanvasElement.prototype.captureStream = function () {
        return capture.call(this, 0);
      };
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"));
      const film = document.getElementById("film") as HTMLVideoElement;
      Object.assign(globalThis, { track: (film.srcObject as MediaStream).getVideoTracks()[0] });
    });
    await page.click("#record");
    await expect.poll(() => page.locator("#record").getAttribute("data-word")).toBe("recordStop");
    await page.click("#stop");
    await expect.poll(() => problem(page).textContent()).toContain("Nothing was recorded");
    const state = () => page.evaluate(() => (globalThis as unknown as { track: MediaStreamTrack }).track.readyState);
    await expect.poll(state).toBe("ended");
  });

  it.each([
    ["in English", false, "Nothing was recorded"],
    ["in Chinese", true, "没有录到任何内容"],
  ])("that gave no frame while recording is said %s, and nothing is saved", async (_, chinese, words) => {
    const page = await camera();
    if (chinese) await page.click("#language");
    await page.click("#camera");
    await expect.poll(() => status(page).textContent()).toMatch(/^1 /);
    await page.evaluate(() => {
      const capture = HTMLCanvasElement.prototype.captureStream; // eslint-disable-line @typescript-eslint/unbound-method
      HTMLCanvasElement.prototype.captureStream = function () {
        return capture.call(this, 0);
      };
      const devices = navigator.mediaDevices;
      devices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"));
    });
    page.on("download", () => problems.push("something was saved"));
    await page.click("#record");
    await expect.poll(() => page.locator("#record").getAttribute("data-word")).toBe("recordStop");
    await page.click("#record");
    await expect.poll(() => problem(page).textContent()).toContain(words);
    expect(await page.locator("#record").getAttribute("data-word")).toBe("record");
  });

  it.each([
    ["refused", "NotAllowedError", "Allow it in the browser's settings"],
    ["missing", "NotFoundError", "No camera was found"],
    ["busy", "NotReadableError", "used by another program"],
  ])("that is %s is explained", async (_, name, words) => {
    const page = await open();
    await page.evaluate((error) => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", error));
    }, name);
    await page.click("#camera");
    await expect.poll(() => problem(page).textContent()).toContain(words);
  });

  it("that nobody allows or refuses holds up no photo", async () => {
    const page = await open();
    await page.evaluate(() => {
      navigator.mediaDevices.getUserMedia = () => new Promise(() => {});
    });
    await page.click("#camera");
    await expect.poll(() => status(page).textContent()).toBe("Starting the camera…");
    await choosePhoto(page);
    await page.click("#camera"); // a new request ends the photo
    await expect.poll(() => page.locator("#hint").isVisible()).toBe(true);
  });

  it("that shows no frame holds up no photo", async () => {
    const page = await open();
    await page.evaluate(() => {
      const silent = document.createElement("canvas").captureStream(0); // play() never settles
      navigator.mediaDevices.getUserMedia = () => Promise.resolve(silent);
    });
    await page.click("#camera");
    await expect
      .poll(() => page.locator("#film").evaluate((film: HTMLVideoElement) => film.srcObject !== null))
      .toBe(true);
    await choosePhoto(page);
    expect(await problem(page).textContent()).toBe("");
  });

  it("that the user refuses is explained", async () => {
    const page = await open({ args: ["--use-fake-device-for-media-stream", "--deny-permission-prompts"] });
    await page.click("#camera");
    await expect.poll(() => problem(page).textContent()).toContain("Camera access was denied");
    await shot(page, "refused");
  });
});

describe("a video", () => {
  it("plays with stickers", async () => {
    const page = await filming();
    await page.click("#record");
    await expect.poll(() => page.locator("#record").getAttribute("data-word")).toBe("recordStop");
    await page.waitForTimeout(2000);
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#record")]);
    const buffer = readFileSync(await download.path());
    const suffix = download.suggestedFilename().split(".").at(-1)!;
    await page.click("#stop");
    await page.setInputFiles("#video", { name: `film.${suffix}`, mimeType: `video/${suffix}`, buffer });
    await expect.poll(() => status(page).textContent()).toBe("1 face.");
    await page.setInputFiles("#video", { name: "bad.mp4", mimeType: "video/mp4", buffer: Buffer.from("no film") });
    await expect.poll(() => problem(page).textContent()).toContain("bad.mp4: this browser cannot play it");
  });
});

describe("a pack of one's own", () => {
  const manifest = (changes: object = {}, layer: object = {}) => ({
    name: "mine",
    title: "My nose",
    author: "me",
    licence: "CC0-1.0",
    layers: [
      { name: "nose", frames: ["nose.png"], anchors: { nose_bridge: [511, 42], nose_tip: [511, 594] }, ...layer },
    ],
    ...changes,
  });
  const nose = readFileSync(resolve(STICKERS, "clown_nose/nose.png"));
  const pack = (text: string, png: Buffer = nose) => zip({ "manifest.json": Buffer.from(text), "nose.png": png });

  it("is added and worn", async () => {
    const page = await open();
    await choosePhoto(page);
    const bare = await colours(page);
    const buffer = await pack(JSON.stringify(manifest()));
    await page.setInputFiles("#pack", { name: "mine.zip", mimeType: "application/zip", buffer });
    await expect.poll(() => status(page).textContent()).toBe("Added “My nose”.");
    expect(await sticker(page, "own:mine").getAttribute("aria-pressed")).toBe("true");
    await expect.poll(() => colours(page)).not.toBe(bare);
  });

  it("that is wrong is named, and the page goes on", async () => {
    const page = await open();
    await choosePhoto(page);
    const good = await pack(JSON.stringify(manifest()));
    const damaged = Buffer.from(good);
    damaged.fill(0x55, 1000, 4000);
    const bomb = zip({ "manifest.json": Buffer.alloc(300_000_000), "nose.png": nose });
    const cases: [string, Buffer, string][] = [
      ["no zip", Buffer.from("nothing"), "a damaged zip archive"],
      ["cut", good.subarray(0, good.length / 2), "a damaged zip archive"],
      ["flipped", damaged, "a damaged zip archive"],
      ["bomb", await bomb, "is too large"],
      ["slip", await zip({ "../manifest.json": Buffer.from("{}") }), "leads out of the archive"],
      ["empty", await zip({ "readme.txt": Buffer.from("hello") }), "not a sticker pack"],
      ["json", await pack("{"), "not valid JSON"],
      ["key", await pack(JSON.stringify(manifest({}, { opacity: 2 }))), "layer 0, key 'opacity': must be 0 ... 1"],
      [
        "place",
        await pack(JSON.stringify(manifest({}, { anchors: { knee: [1, 2], chin: [3, 4] } }))),
        "unknown anchor knee",
      ],
      ["extra", await pack(JSON.stringify(manifest({ colour: "red" }))), "key 'colour': unknown"],
      ["png", await pack(JSON.stringify(manifest()), Buffer.from("no png")), "not a PNG"],
      ["half png", await pack(JSON.stringify(manifest()), nose.subarray(0, 2000)), "a damaged PNG"],
    ];
    for (const [name, buffer, words] of cases) {
      await page.setInputFiles("#pack", { name: `${name}.zip`, mimeType: "application/zip", buffer });
      await expect.poll(() => problem(page).textContent(), { message: name }).toContain(words);
      await page.evaluate(() => (document.getElementById("problem")!.textContent = ""));
    }
    await choosePhoto(page);
  });
});

describe("a network of one's own", () => {
  const model = readFileSync(resolve(WEB, "../facekp/shipped/face_crop_light.onnx"));
  const recipe = readFileSync(resolve(WEB, "public/models/face_crop_light/recipe.json"), "utf8");
  const network = (text = recipe, bytes: Buffer = model) =>
    zip({ "exported/model.onnx": bytes, "exported/recipe.json": Buffer.from(text) });

  it("is used, beside a face detector of one's own, and given back", async () => {
    const page = await open();
    await choosePhoto(page);
    await page.setInputFiles("#network", { name: "own.zip", mimeType: "application/zip", buffer: await network() });
    await expect.poll(() => page.locator("#shipped").isVisible()).toBe(true);
    const boxes = await zip({
      "model.onnx": readFileSync(resolve(WEB, "../facekp/shipped/face_detector.onnx")),
      "recipe.json": readFileSync(resolve(WEB, "public/models/face_detector/recipe.json")),
    });
    await page.setInputFiles("#network", { name: "boxes.zip", mimeType: "application/zip", buffer: boxes });
    await expect.poll(() => status(page).textContent()).toBe("Using the network “boxes.zip”.");
    await page.click("#stop");
    await choosePhoto(page);
    await page.click("#shipped");
    await expect.poll(() => page.locator("#shipped").isVisible()).toBe(false);
  });

  it("that is wrong is named, and the page goes on", async () => {
    const page = await open();
    const changed = (key: string, value: unknown) => {
      const whole = JSON.parse(recipe) as { recipe: Record<string, unknown> };
      whole.recipe[key] = value;
      return JSON.stringify(whole);
    };
    const cases: [string, Buffer, string][] = [
      ["cut model", await network(recipe, model.subarray(0, 100_000)), "ONNX Runtime cannot run it"],
      ["no recipe", await zip({ "model.onnx": model }), "not a network"],
      ["empty", await zip({ "readme.txt": Buffer.from("hello") }), "not a network"],
      ["format", await network('{"format": "other"}'), "not a network of facekp"],
      ["points", await network(changed("schema", { points: ["a", "b"] })), "finds 2 points"],
      ["size", await network(changed("size", 64)), "cannot run it"],
      ["pixels", await network(changed("pixels", [{ type: "Odd" }, { type: "ToCHW" }])), "needs the transform Odd"],
      ["recipe", await network("[]"), "not a network of facekp"],
    ];
    for (const [name, buffer, words] of cases) {
      await page.setInputFiles("#network", { name: `${name}.zip`, mimeType: "application/zip", buffer });
      await expect.poll(() => problem(page).textContent(), { message: name }).toContain(words);
      await page.evaluate(() => (document.getElementById("problem")!.textContent = ""));
    }
    await choosePhoto(page);
  });
});

describe("the page", () => {
  it("speaks Chinese where the browser does, and changes when asked", async () => {
    const page = await open({ locale: "zh-CN" });
    expect(await page.title()).toBe("facekp: 人脸贴纸");
    expect(await page.locator("html").getAttribute("lang")).toBe("zh-CN");
    await page.setInputFiles("#pack", { name: "x.zip", mimeType: "application/zip", buffer: Buffer.from("?") });
    await expect.poll(() => problem(page).textContent()).toContain("zip 文件已损坏");
    await shot(page, "chinese");
    await page.click("#language");
    expect(await page.title()).toBe("facekp: Face stickers");
    expect(await problem(page).textContent()).toContain("a damaged zip archive");
    await page.reload();
    expect(await page.title()).toBe("facekp: Face stickers");
  });

  it("changes its language where the browser blocks storage", async () => {
    context = await openChromium({});
    const page = await context.newPage();
    await page.addInitScript(() => {
      Object.defineProperty(globalThis, "localStorage", {
        get: () => {
          throw new DOMException("", "SecurityError");
        },
      });
    });
    await page.goto(host.url);
    await page.waitForSelector("html[data-ready]", { timeout: 30_000 });
    await page.click("#language");
    expect(await page.locator("#camera").textContent()).toBe("摄像头");
  });

  it("says when there is no WebAssembly", async () => {
    context = await openChromium();
    await context.addInitScript(() => Object.assign(globalThis, { WebAssembly: undefined }));
    // Init scripts do not run in workers, so the engine has to run on the page.
    await context.addInitScript(() => Object.assign(globalThis, { OffscreenCanvas: undefined }));
    const page = await context.newPage();
    await page.goto(host.url);
    const expectProblem = () => expect.poll(() => problem(page).textContent(), { timeout: 10_000 });
    await expectProblem().toContain("no WebAssembly with SIMD");
    expect(await status(page).textContent()).toBe("Loading failed.");
    await page.click("#camera"); // it is not even requested
    await expectProblem().toContain("no WebAssembly with SIMD");
  });

  it("works without a worker that can draw", async () => {
    context = await openChromium();
    await context.addInitScript(() => Object.assign(globalThis, { OffscreenCanvas: undefined }));
    const page = await context.newPage();
    await page.goto(host.url);
    await page.waitForSelector("html[data-ready]", { timeout: 30_000 });
    await choosePhoto(page);
  });

  it("is used by keyboard, and every control has a name", async () => {
    const page = await open();
    const names = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>("button, input, a")].map(
        (each) => each.getAttribute("aria-label") ?? each.closest("label")?.textContent ?? each.textContent,
      ),
    );
    for (const name of names) expect(name?.trim()).toBeTruthy();
    await choosePhoto(page);
    const reached: string[] = [];
    for (let i = 0; i < 40 && !reached.includes("crown"); i++) {
      await page.keyboard.press("Tab");
      reached.push(await page.evaluate(() => (document.activeElement as HTMLElement).dataset.name ?? ""));
    }
    await page.keyboard.press("Space");
    expect(await sticker(page, "crown").getAttribute("aria-pressed")).toBe("true");
    expect(await page.locator("#canvas").getAttribute("aria-label")).toBe("The image with stickers. 1 face.");
  });

  it("fits a phone", async () => {
    const page = await open({ viewport: { width: 390, height: 844 } });
    await choosePhoto(page);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width).toBeLessThanOrEqual(390);
    await shot(page, "phone");
  });

  it("works offline after the first visit, and weighs less than 20 MB", async () => {
    const own = await serve("/sub/");
    const page = await open({}, own.url);
    await page.evaluate(async () => {
      await navigator.serviceWorker.ready;
      while (!navigator.serviceWorker.controller) await new Promise((done) => setTimeout(done, 100));
    });
    const weight = own.sent();
    console.log(`first visit: ${(weight / 1e6).toFixed(2)} MB`);
    expect(weight).toBeLessThan(20e6);
    await page.reload();
    await page.waitForSelector("html[data-ready]", { timeout: 30_000 });
    console.log(`second visit: ${own.sent() - weight} bytes`);
    expect(own.sent() - weight).toBeLessThan(10_000); // the service worker script itself is requested
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true); // although the host sends no headers
    await own.close();
    await page.reload();
    await page.waitForSelector("html[data-ready]", { timeout: 30_000 });
    await choosePhoto(page);
    await sticker(page, "cat").click();
    await expect.poll(() => problem(page).isVisible()).toBe(false);
  });

  it("keeps ONNX Runtime with WebGPU only once it was asked for", async () => {
    const page = await open();
    const kept = await page.evaluate(async () => {
      await navigator.serviceWorker.ready;
      while (!navigator.serviceWorker.controller) await new Promise((done) => setTimeout(done, 100));
      const file = new URL("runtime/ort-wasm-simd-threaded.asyncify.mjs", document.baseURI).href;
      const before = await caches.match(file);
      await (await fetch(file)).text();
      return [Boolean(before), Boolean(await caches.match(file))];
    });
    expect(kept).toEqual([false, true]);
  });

  it("runs in WebAssembly where WebGPU is asked for and missing, without fetching more", async () => {
    const requested: string[] = [];
    context = await openChromium();
    context.on("request", (request) => requested.push(request.url()));
    const page = await context.newPage();
    await page.goto(`${host.url}?backend=webgpu`);
    await page.waitForSelector('html[data-backend="wasm"]', { timeout: 30_000 });
    await choosePhoto(page);
    expect(requested.filter((url) => /asyncify|ort\.webgpu/.test(url))).toEqual([]);
  });

  it("asks nobody but its own host", async () => {
    const page = await open();
    const refused = await page.evaluate(() =>
      fetch("http://127.0.0.2:9/").then(
        () => "answered",
        () => "refused",
      ),
    );
    expect(refused).toBe("refused");
    expect(problems.splice(0).join()).toContain("violates the following Content Security Policy directive");
    const policy = await page.locator('meta[http-equiv="Content-Security-Policy"]').getAttribute("content");
    expect(policy).toContain("connect-src 'self'");
    expect(await page.locator("footer").textContent()).toContain("Nothing leaves this device");
  });
});

it("ships every sticker", () => {
  const packs = readdirSync(STICKERS, { withFileTypes: true }).filter((each) => each.isDirectory());
  const built = JSON.parse(readFileSync(resolve(WEB, "dist/stickers/index.json"), "utf8")) as unknown[];
  expect(built).toHaveLength(packs.length);
});
