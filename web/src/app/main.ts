/** The page: what its buttons do. */
import { UserError } from "../engine/errors";
import { MAX_NETWORK_BYTES, filesOf } from "../engine/files";
import { type Facing, openCamera, openMicrophone, stopStream } from "./camera";
import { type Drop, dropOf, kindOf } from "./drops";
import { pump } from "./frames";
import { type Recording, canRecord, record, save, soundOf } from "./recorder";
import { startStudio } from "./studio/client";
import type { Choice, Wanted } from "./studio/studio";
import { turns } from "./turns";
import { addChoice, canvas, clear, complain, element, markChoices, setRate, show, tell, translate } from "./view";
import { PageError, currentLanguage, setLanguage } from "./words";

const studio = startStudio();
const film = element<HTMLVideoElement>("film");
const button = (id: string) => element<HTMLButtonElement>(id);
const input = (id: string) => element<HTMLInputElement>(id);

const worn = new Set<string>();
/** Changes of the source; each ends before the next one begins. */
const inTurn = turns();
let changes = 0;
let source: "none" | "camera" | "photo" | "video" = "none";
let facing: Facing = "user";
let mirrored = true;
let halt = () => {};
let sound: MediaStream | undefined;
let recording: { film: Recording; microphone?: MediaStream } | undefined;
/** Whether the microphone is being asked for. */
let asking = false;

/** Networks and stickers are loaded. */
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
  const asked = new URLSearchParams(location.search).get("backend");
  const backend = await studio.load(document.baseURI, asked === "webgpu" ? "webgpu" : "wasm");
  document.documentElement.dataset.backend = backend;
  for (const choice of await studio.choices()) offer(choice, `thumbnails/${choice.name}.png`);
  tell("ready");
  document.documentElement.dataset.ready = "true";
}

/** Do something as soon as the page is ready, and say what went wrong if it does. */
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

/** Change the source, when the change before has ended. */
function change(work: () => Promise<void>): Promise<void> {
  changes += 1;
  return inTurn(work);
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
  if (!worn.delete(name)) worn.add(name);
  markChoices(worn);
  try {
    await studio.wear([...worn]);
  } catch (error) {
    worn.delete(name); // it cannot be loaded; what else is worn stays
    markChoices(worn);
    await studio.wear([...worn]);
    throw error;
  }
  await redraw();
}

/** Draw the photo again; films do so by themselves. */
async function redraw(): Promise<void> {
  const shown = source === "photo" ? await studio.photoAgain() : undefined;
  if (shown) show(shown);
}

/** Which buttons do something now. */
function refresh(): void {
  const live = source === "camera" || source === "video";
  button("stop").disabled = source === "none";
  button("flip").disabled = button("mirror").disabled = source !== "camera";
  button("mirror").setAttribute("aria-pressed", String(mirrored));
  button("picture").disabled = source === "none";
  button("record").disabled = !live || !canRecord();
  button("record").dataset.word = recording ? "recordStop" : "record";
  translate();
}

/** End what is shown now. */
async function stop(): Promise<void> {
  await stopRecording().catch(complain); // the source ends all the same
  halt();
  halt = () => {};
  stopStream(film.srcObject as MediaStream | null);
  if (film.src) URL.revokeObjectURL(film.src);
  film.pause();
  film.srcObject = null;
  film.removeAttribute("src");
  film.load();
  source = "none";
  await studio.restart();
  clear();
  refresh();
}

/** Show the frames of the film as they come. */
function play(mirror: () => boolean): void {
  const times: number[] = [];
  halt = pump(
    film,
    async (frame, seconds) => {
      const shown = await studio.frame(frame, seconds, mirror());
      if (source === "none") return shown.image.close();
      show(shown);
      times.push(performance.now());
      if (times.length > 31) times.shift();
      if (times.length > 5) setRate((1000 * (times.length - 1)) / (times.at(-1)! - times[0]!));
    },
    complain,
  );
}

/** Ask for the camera; until the user answers, other sources may be chosen, and the camera is no longer wanted then. */
async function startCamera(): Promise<void> {
  const stopped = change(stop); // the other camera, too: some phones open one at a time
  const asked = changes;
  await stopped;
  if (asked !== changes) return;
  tell("starting");
  let camera: MediaStream;
  try {
    camera = await openCamera(facing);
  } catch (error) {
    if (asked === changes) tell("ready");
    throw error;
  }
  await inTurn(async () => (asked === changes ? showCamera(camera) : stopStream(camera)));
}

async function showCamera(camera: MediaStream): Promise<void> {
  film.srcObject = camera;
  camera.getVideoTracks()[0]?.addEventListener("ended", () => {
    // Unplugged: it does not fire when the page itself stops it.
    void attempt(() => change(stop)).then(() => complain(new PageError("cameraLost")));
  });
  film.muted = true;
  film.loop = false;
  try {
    await film.play();
  } catch (error) {
    await stop();
    throw error;
  }
  source = "camera";
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
  show(await studio.openPhoto(image));
}

async function openVideo(file: File): Promise<void> {
  await stop();
  film.src = URL.createObjectURL(file);
  film.muted = false;
  film.loop = true;
  try {
    await playWithSound();
    if (!film.videoWidth) throw new Error("no image");
  } catch {
    await stop();
    throw new PageError("videoDamaged", { file: file.name });
  }
  source = "video";
  play(() => false);
  refresh();
}

/** Play the film; where the browser wants a click on the page before it sounds, without sound until there is one. */
async function playWithSound(): Promise<void> {
  try {
    await film.play();
  } catch (error) {
    if ((error as DOMException).name !== "NotAllowedError") throw error;
    film.muted = true;
    await film.play();
    for (const kind of ["pointerdown", "keydown"]) {
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
  const parts = files.filter((file) => /\.(json|onnx)$/.test(file.name)); // a folder may hold anything else
  networkUsed(await studio.useNetwork(await filesOf(parts, MAX_NETWORK_BYTES), name));
}

function networkUsed(name: string): void {
  button("shipped").hidden = false;
  tell("networkUsed", { name });
  void attempt(photoAnew);
}

async function useShipped(): Promise<void> {
  await studio.useShipped();
  button("shipped").hidden = true;
  tell("networkReset");
  await photoAnew();
}

async function photoAnew(): Promise<void> {
  const shown = source === "photo" ? await studio.photoAnew() : undefined;
  if (shown) show(shown);
}

async function open(drop: Drop): Promise<void> {
  const file = drop.files[0];
  if (drop.kind === "folder") return addFolder(drop);
  if (drop.kind === "photo") return change(() => openPhoto(file!));
  if (drop.kind === "video") return change(() => openVideo(file!));
  if (drop.kind === "zip") return addZip(file!);
  throw new PageError("fileUnknown", { file: drop.name });
}

async function takePicture(): Promise<void> {
  // A canvas of a bitmap cannot be read while the next one is on its way, so copy it first.
  const copy = document.createElement("canvas");
  Object.assign(copy, { width: canvas.width, height: canvas.height });
  copy.getContext("2d")!.drawImage(canvas, 0, 0);
  const blob = await new Promise<Blob | null>((done) => copy.toBlob(done, "image/png"));
  tell("saved", { file: save(blob!, "png") });
}

async function toggleRecording(): Promise<void> {
  if (recording) return stopRecording();
  if (asking || (source !== "camera" && source !== "video")) return;
  const shown = halt;
  asking = true;
  const microphone = source === "camera" ? await openMicrophone() : undefined;
  asking = false;
  if (halt !== shown) return stopStream(microphone); // what was to be recorded has ended
  try {
    if (source === "video") sound ??= soundOf(film);
    recording = { film: record(canvas, microphone ?? (source === "video" ? sound : undefined)), microphone };
  } catch (error) {
    stopStream(microphone);
    throw error;
  }
  tell(source === "camera" && !microphone ? "recordingMute" : "recording");
  refresh();
}

async function stopRecording(): Promise<void> {
  if (!recording) return;
  const { film: running, microphone } = recording;
  recording = undefined;
  try {
    const { film: made, suffix } = await running.stop();
    tell("saved", { file: save(made, suffix) });
  } finally {
    stopStream(microphone);
    refresh();
  }
}

/** Tie the buttons to what they do. */
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
  click("camera", startCamera);
  click("stop", () =>
    change(async () => {
      const saves = recording !== undefined;
      await stop();
      if (!saves) tell("ready");
    }),
  );
  click("flip", () => {
    facing = facing === "user" ? "environment" : "user";
    mirrored = facing === "user";
    return startCamera();
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
  choose("video", ([file]) => change(() => openVideo(file!)));
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
        await studio.show(overlay);
        await redraw();
      });
    });
  }
  input("rate").addEventListener("change", () => setRate(undefined));
  wireDrops();
}

function wireDrops(): void {
  const view = element("view");
  const take = (transfer: DataTransfer | null) => {
    void attempt(async () => {
      const drop = await dropOf(transfer);
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

/** Keep the page for the next visit, also without a network; only a built page has the script. */
if (import.meta.env.PROD && "serviceWorker" in navigator) {
  window.addEventListener("load", () => {
    navigator.serviceWorker.register(new URL("service-worker.js", document.baseURI)).catch(() => {
      // Private windows and plain http have none; the page works all the same.
    });
  });
}
