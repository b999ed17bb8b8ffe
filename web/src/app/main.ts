/** The page: the actions of its buttons, and the sources of images. */
import { UserError } from "../engine/errors";
import { MAX_NETWORK_BYTES, filesOf } from "../engine/files";
import { MODEL_FILE, RECIPE_FILE } from "../engine/network";
import { turns } from "../engine/turns";
import { type Camera, cameraAfter, openCamera, openMicrophone, stopStream } from "./camera";
import { type Drop, dropOf, kindOf } from "./drops";
import { pump } from "./frames";
import { type Recording, type Sound, record, save, soundOf } from "./recorder";
import { startStudio } from "./studio/client";
import type { Choice, Shown, Wanted } from "./studio/studio";
import {
  addChoice,
  canvas,
  clear,
  complain,
  element,
  hasImage,
  markChoices,
  setRate,
  setWord,
  show,
  tell,
  translate,
} from "./view";
import { PageError, currentLanguage, setLanguage } from "./words";

const studio = startStudio();
const film = element<HTMLVideoElement>("film");
const button = (id: string) => element<HTMLButtonElement>(id);
const input = (id: string) => element<HTMLInputElement>(id);

/** Selected stickers, and those of them that are loaded. */
const worn = new Set<string>();
const loaded = new Set<string>();
/** Runs changes of the source one by one. */
const inTurn = turns();
let changes = 0;
let source: "none" | "camera" | "photo" | "video" = "none";
let camera: Camera = { facingMode: "user" };
let mirrored = true;
/** Stops the frames of the current source; a different function for each source. */
let halt = () => {};
let sound: Sound | undefined;
let recording: { running: Recording; microphone?: MediaStream } | undefined;
/** `halt` of the source for which the microphone is being requested. */
let pendingMicrophone: typeof halt | undefined;

/** Resolves when the networks and the list of stickers are loaded. */
const ready = start();
ready.catch((error: unknown) => {
  tell("notReady");
  complain(error);
});

async function start(): Promise<void> {
  translate();
  wire();
  refresh();
  tell("loading");
  const requested = new URLSearchParams(location.search).get("backend");
  const backend = await studio.load(document.baseURI, requested === "webgpu" ? "webgpu" : "wasm");
  document.documentElement.dataset.backend = backend;
  for (const choice of await studio.choices()) offer(choice, `thumbnails/${choice.name}.png`);
  tell("ready");
  document.documentElement.dataset.ready = "true";
}

/** Run an action as soon as the page is ready, and show its error if it fails. */
async function attempt(work: () => Promise<unknown>): Promise<void> {
  complain();
  try {
    await ready;
    await work();
  } catch (error) {
    complain(error);
    refresh();
  }
}

/**
 * Change the source after all previous changes have ended.
 *
 * @param work - Called with a function that returns whether no other change has been requested since.
 */
function change(work: (isLast: () => boolean) => Promise<void>): Promise<void> {
  const mine = ++changes;
  film.pause(); // rejects a pending play(), which may otherwise never settle
  return inTurn(() => work(() => mine === changes));
}

function offer(choice: Choice, thumbnail?: string): void {
  addChoice(
    choice,
    thumbnail,
    (name) => void attempt(() => toggle(name)),
    (name) => studio.thumbnail(name),
  );
}

async function toggle(name: string): Promise<void> {
  if (worn.delete(name)) loaded.delete(name);
  else worn.add(name);
  markChoices(worn);
  if (worn.has(name)) {
    try {
      await studio.prepare(name);
      if (worn.has(name)) loaded.add(name);
    } catch (error) {
      worn.delete(name); // it cannot be loaded; other stickers remain
      markChoices(worn);
      throw error;
    }
  }
  await studio.wear([...worn].filter((each) => loaded.has(each)));
  await showPhoto(() => studio.photoAgain());
}

/** Draw and show the photo, unless the source changes before it is drawn; videos are drawn continuously. */
async function showPhoto(draw: () => Promise<Shown | undefined>): Promise<void> {
  if (source !== "photo") return;
  const current = halt;
  const shown = await draw();
  if (halt === current && shown) show(shown);
  else shown?.image.close();
}

/** Enable the buttons that apply to the current source. */
function refresh(): void {
  const live = source === "camera" || source === "video";
  const focused = document.activeElement;
  button("stop").disabled = source === "none";
  button("flip").disabled = button("mirror").disabled = source !== "camera";
  button("mirror").setAttribute("aria-pressed", String(mirrored));
  button("picture").disabled = source === "none" || !hasImage();
  button("record").disabled = !live;
  setWord("record", recording ? "recordStop" : "record");
  if (focused instanceof HTMLButtonElement && focused.disabled) button("camera").focus();
}

/** End the current source. */
async function stop(): Promise<void> {
  // The source ends even if the recording cannot be saved.
  const saved = await stopRecording().catch((error: unknown) => {
    complain(error);
    return false;
  });
  halt();
  halt = () => {};
  stopStream(film.srcObject as MediaStream | null);
  if (film.src) URL.revokeObjectURL(film.src);
  film.pause();
  film.srcObject = null;
  film.removeAttribute("src");
  film.load();
  source = "none";
  refresh();
  await studio.restart();
  clear();
  if (!saved) tell("ready");
}

/** Process and show the frames of the video element. */
function play(mirror: () => boolean): void {
  const times: number[] = [];
  const mine = pump(
    film,
    async (frame, seconds) => {
      const shown = await studio.frame(frame, seconds, mirror());
      if (halt !== mine) return shown.image.close();
      // A video file cannot change its size: rotating the phone ends the recording.
      const { width, height } = shown.image;
      if (recording && (width !== canvas.width || height !== canvas.height)) await stopRecording().catch(complain);
      const first = !hasImage();
      show(shown, SETTLED);
      if (first) refresh();
      times.push(performance.now());
      if (times.length > 31) times.shift();
      if (times.length > 5) setRate((1000 * (times.length - 1)) / (times.at(-1)! - times[0]!));
    },
    (error) => void attempt(() => change(stop)).then(() => complain(error)),
  );
  halt = mine;
}

/** Milliseconds after which a new count of faces is announced, so that a flickering count is not. */
const SETTLED = 700;

/** Request the camera; if the user chooses another source before answering, the camera is not used. */
async function startCamera(wanted = camera): Promise<void> {
  let isLast = () => true;
  await change((last) => {
    isLast = last;
    return stop(); // also another camera: some phones open only one at a time
  });
  if (!isLast()) return;
  tell("starting");
  let stream: MediaStream;
  try {
    stream = await openCamera(wanted);
  } catch (error) {
    if (isLast()) tell("ready");
    throw error;
  }
  await inTurn(async () => (isLast() ? showCamera(stream, wanted, isLast) : stopStream(stream)));
}

async function showCamera(stream: MediaStream, wanted: Camera, isLast: () => boolean): Promise<void> {
  film.srcObject = stream;
  stream.getVideoTracks()[0]?.addEventListener("ended", () => {
    // The camera was unplugged: the event does not fire when the page itself stops the track.
    if (film.srcObject !== stream) return;
    void attempt(() => change(stop)).then(() => complain(new PageError("cameraLost")));
  });
  film.muted = true;
  film.loop = false;
  try {
    await film.play();
  } catch (error) {
    await stop();
    if (!isLast()) return; // interrupted by the next change
    throw error;
  }
  source = "camera";
  if (wanted !== camera) mirrored = !("facingMode" in wanted && wanted.facingMode === "environment");
  camera = wanted;
  play(() => mirrored);
  refresh();
}

async function openPhoto(file: File): Promise<void> {
  await stop();
  let image: ImageBitmap;
  try {
    image = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new UserError("image.damaged", { file: file.name });
  }
  tell("looking");
  source = "photo";
  refresh();
  try {
    show(await studio.openPhoto(image));
  } catch (error) {
    await stop();
    throw error;
  }
  refresh();
}

async function openVideo(file: File, isLast: () => boolean): Promise<void> {
  await stop();
  film.src = URL.createObjectURL(file);
  film.muted = false;
  film.loop = true;
  try {
    await playWithSound();
    if (!film.videoWidth) throw new Error("no image");
  } catch {
    await stop();
    if (!isLast()) return; // interrupted by the next change
    throw new PageError("videoDamaged", { file: file.name });
  }
  source = "video";
  sound?.resume();
  play(() => false);
  refresh();
}

/** Play the video; without sound until a click or a key press on the page if the browser requires one. */
async function playWithSound(): Promise<void> {
  try {
    await film.play();
  } catch (error) {
    if ((error as DOMException).name !== "NotAllowedError") throw error;
    film.muted = true;
    await film.play();
    for (const kind of ["pointerup", "keydown"]) {
      document.addEventListener(kind, () => (film.muted &&= source !== "video"), { once: true });
    }
  }
}

async function addZip(file: File, wanted?: Wanted): Promise<void> {
  const bytes = [...(await filesOf([file], MAX_NETWORK_BYTES)).values()][0]!;
  const added = await studio.addZip(bytes, file.name, wanted);
  if ("network" in added) return networkUsed(added.network);
  offer(added.sticker);
  worn.delete(added.sticker.name);
  await toggle(added.sticker.name);
  tell("packAdded", { title: added.sticker.title });
}

async function addFolder({ files, name }: Drop): Promise<void> {
  // It may contain other files, and folders of other networks.
  const own = files.filter((file) => file.webkitRelativePath.split("/").length <= 2);
  const parts = own.filter((file) => [RECIPE_FILE, MODEL_FILE].includes(file.name));
  await networkUsed(await studio.useNetwork(await filesOf(parts, MAX_NETWORK_BYTES), name));
}

async function networkUsed(name: string): Promise<void> {
  button("shipped").hidden = false;
  tell("networkUsed", { name });
  await showPhoto(() => studio.photoAnew());
}

async function useShipped(): Promise<void> {
  await studio.useShipped();
  if (document.activeElement === button("shipped")) input("network").focus();
  button("shipped").hidden = true;
  tell("networkReset");
  await showPhoto(() => studio.photoAnew());
}

async function open(drop: Drop): Promise<void> {
  const file = drop.files[0];
  if (drop.kind === "folder") return addFolder(drop);
  if (drop.kind === "photo") return change(() => openPhoto(file!));
  if (drop.kind === "video") return change((isLast) => openVideo(file!, isLast));
  if (drop.kind === "zip") return addZip(file!);
  throw new PageError("fileUnknown", { file: drop.name });
}

async function takePicture(): Promise<void> {
  // A bitmap canvas cannot be read while the next bitmap is being transferred, so copy it first.
  const copy = document.createElement("canvas");
  Object.assign(copy, { width: canvas.width, height: canvas.height });
  copy.getContext("2d")!.drawImage(canvas, 0, 0);
  const blob = await new Promise<Blob | null>((done) => copy.toBlob(done, "image/png"));
  tell("saved", { file: save(blob!, "png") });
}

async function toggleRecording(): Promise<void> {
  if (recording) {
    await stopRecording();
    return;
  }
  if (pendingMicrophone === halt || (source !== "camera" && source !== "video")) return;
  const current = halt;
  pendingMicrophone = current;
  const microphone = source === "camera" ? await openMicrophone() : undefined;
  if (pendingMicrophone === current) pendingMicrophone = undefined;
  if (halt !== current) return stopStream(microphone); // the source to be recorded has ended
  try {
    if (source === "video") (sound ??= soundOf(film)).resume();
    const running = record(canvas, microphone ?? (source === "video" ? sound?.stream : undefined));
    recording = { running, microphone };
    void running.ended.then(() => {
      if (recording?.running === running) void attempt(stopRecording); // it ended by itself
    });
  } catch (error) {
    stopStream(microphone);
    throw error;
  }
  tell(source === "camera" && !microphone ? "recordingMute" : "recording");
  refresh();
}

/** End and save the recording; return whether there was one. */
async function stopRecording(): Promise<boolean> {
  if (!recording) return false;
  const { running, microphone } = recording;
  recording = undefined;
  try {
    const { video, suffix } = await running.stop();
    tell("saved", { file: save(video, suffix) });
    return true;
  } catch (error) {
    tell("ready");
    throw error;
  } finally {
    stopStream(microphone);
    refresh();
  }
}

/** Connect the buttons to their actions. */
function wire(): void {
  const click = (id: string, work: () => Promise<unknown>) => {
    button(id).addEventListener("click", () => void attempt(work));
  };
  const choose = (id: string, work: (files: File[]) => Promise<unknown>) => {
    input(id).addEventListener("change", () => {
      const files = [...(input(id).files ?? [])];
      input(id).value = "";
      if (files.length) void attempt(() => work(files));
    });
  };
  click("camera", () => startCamera());
  click("stop", () => change(stop));
  click("flip", async () => {
    const stream = film.srcObject as MediaStream | null;
    if (!stream) return; // pressed again while the camera changes
    await startCamera(await cameraAfter(stream));
    if (document.activeElement === button("camera")) button("flip").focus(); // see `refresh`
  });
  click("mirror", async () => {
    mirrored = !mirrored;
    refresh();
  });
  click("picture", takePicture);
  click("record", toggleRecording);
  click("shipped", useShipped);
  button("language").addEventListener("click", () => {
    setLanguage(currentLanguage() === "zh" ? "en" : "zh");
    translate();
  });
  choose("photo", ([file]) => change(() => openPhoto(file!)));
  choose("video", ([file]) => change((isLast) => openVideo(file!, isLast)));
  choose("pack", ([file]) => addZip(file!, "pack"));
  choose("network", ([file]) => addZip(file!, "network"));
  choose("folder", (files) => {
    const name = files[0]!.webkitRelativePath.split("/")[0] ?? "";
    return addFolder({ kind: "folder", name, files });
  });
  for (const id of ["points", "boxes"]) {
    input(id).addEventListener("change", () => {
      const overlay = { points: input("points").checked, boxes: input("boxes").checked };
      void attempt(async () => {
        await studio.setOverlay(overlay);
        await showPhoto(() => studio.photoAgain());
      });
    });
  }
  input("rate").addEventListener("change", () => setRate(undefined));
  window.addEventListener("beforeunload", (event) => {
    if (recording) event.preventDefault(); // the browser asks, so that the recording is not lost
  });
  element("folderLabel").hidden = !("webkitdirectory" in input("folder"));
  wireDrops();
}

function wireDrops(): void {
  const view = element("view");
  const take = (transfer: DataTransfer | null) => {
    const dropped = dropOf(transfer); // read synchronously: it is empty after the event
    dropped.catch(() => undefined); // shown by `attempt` below
    void attempt(async () => {
      const drop = await dropped;
      if (drop) await open(drop);
    });
  };
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    view.classList.add("over");
  });
  document.addEventListener("dragleave", () => view.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    view.classList.remove("over");
    take(event.dataTransfer);
  });
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) void attempt(() => open({ kind: kindOf(file), name: file.name, files: [file] }));
  });
}

/** Cache the page, so that the next visit works offline; only a built page has the script. */
if (import.meta.env.PROD && "serviceWorker" in navigator) {
  window.addEventListener("load", () => {
    navigator.serviceWorker.register(new URL("service-worker.js", document.baseURI)).catch(() => {
      // Private windows and plain http have no service workers; the page works without.
    });
  });
}
