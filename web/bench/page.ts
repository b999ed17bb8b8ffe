/** Processing times of the engine on one photo that is shifted slightly from frame to frame. */
import { Tracker, combine, loadLandmarker, loadSticker, type Pixels } from "../src/engine";
import { folderAt } from "../src/engine/files";
import { openNetwork } from "../src/engine/faster";
import { blank } from "../src/engine/network";
import { resize, warp } from "../src/engine/warp";

/** Minimum, median and 95th percentile of times in milliseconds. */
export interface Times {
  least: number;
  median: number;
  p95: number;
}

const FRAMES = 60;
const SIZE = [1280, 720] as const;

function summary(times: number[]): Times {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => Math.round(100 * sorted[Math.floor(share * (sorted.length - 1))]!) / 100;
  return { least: at(0), median: at(0.5), p95: at(0.95) };
}

async function measure(work: (index: number) => unknown, count = FRAMES, warm = 8): Promise<Times> {
  const times: number[] = [];
  for (let i = 0; i < count + warm; i++) {
    const start = performance.now();
    await work(i);
    if (i >= warm) times.push(performance.now() - start);
  }
  return summary(times);
}

/** Return frames of 1280x720 with a moving photo of the astronaut. */
export async function film(): Promise<ImageData[]> {
  const bitmap = await createImageBitmap(await (await fetch("/bench/astronaut.png")).blob());
  const canvas = new OffscreenCanvas(...SIZE);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  return Array.from({ length: 16 }, (_, i) => {
    const phase = (2 * Math.PI * i) / 16;
    context.fillRect(0, 0, ...SIZE);
    context.drawImage(bitmap, 380 + 12 * Math.cos(phase), 60 + 8 * Math.sin(phase), 640, 640);
    return context.getImageData(0, 0, ...SIZE);
  });
}

async function engine(threads: number) {
  const runtime = { folder: "/runtime/", threads };
  const landmarker = await loadLandmarker("/models/face_crop_light/", { runtime });
  const frames: Pixels[] = await film();
  const frame = (i: number) => frames[i % frames.length]!;
  const network = await openNetwork(folderAt("/models/face_crop_light/"));
  const crop = blank(112, 112);
  const once = await measure(() => network.run([crop]));
  const boxes = await openNetwork(folderAt("/models/face_detector/"));
  const look320 = await measure(() => boxes.run([blank(320, 192)]), 20, 3);
  const look640 = await measure(() => boxes.run([blank(640, 384)]), 20, 3);
  const warped = await measure((i) => warp(frame(i), [0.35, 0, -200, 0, 0.35, -50], 112, 112));
  const shrunk = await measure((i) => [resize(frame(i), 640, 360), resize(frame(i), 320, 180)]);
  const quick = await measure((i) => landmarker.detect(frame(i), "quick"), 20, 4);
  const detect = await measure((i) => landmarker.detect(frame(i)), 20, 4);
  const never = { detectEvery: 1e9, retryEvery: 1e9, hold: 1e9 };
  const tracker = new Tracker(landmarker, never);
  const tracked = await measure((i) => tracker.next(frame(i), i / 30));
  const usual = new Tracker(landmarker);
  const mixed = await measure((i) => usual.next(frame(i), i / 30));
  const faces = await tracker.next(frame(0), 10);
  const sticker = combine([await loadSticker("/stickers/sunglasses/"), await loadSticker("/stickers/crown/")]);
  const context = new OffscreenCanvas(...SIZE).getContext("2d")!;
  const reading = new OffscreenCanvas(...SIZE).getContext("2d", { willReadFrequently: true })!; // as on the page
  const draw = await measure(() => {
    sticker.draw(context, faces, 0);
    context.getImageData(0, 0, 1, 1); // waits until it is drawn
  });
  const packs: Record<string, unknown> = {};
  for (const name of ["medical_mask", "tiger", "lipstick"]) {
    const pack = await loadSticker(`/stickers/${name}/`);
    packs[name] = await measure(() => {
      pack.draw(reading, faces, 0);
      reading.getImageData(0, 0, 1, 1);
    });
  }
  return {
    ...{ threads, faces: faces.length, once, look320, look640, warped, shrunk, quick, detect, tracked, mixed, draw },
    packs,
  };
}

Object.assign(globalThis, { engine });

/** The part of MediaPipe's face mesh that the benchmark uses. */
interface Mesh {
  setOptions(options: object): void;
  onResults(listener: (results: { multiFaceLandmarks?: unknown[] }) => void): void;
  send(input: { image: HTMLCanvasElement }): Promise<void>;
}

/** Measure MediaPipe's face mesh, which also tracks faces from frame to frame. */
async function mediapipe() {
  const FaceMesh = (globalThis as unknown as { FaceMesh: new (options: object) => Mesh }).FaceMesh;
  const mesh = new FaceMesh({ locateFile: (file: string) => `/node_modules/@mediapipe/face_mesh/${file}` });
  mesh.setOptions({ maxNumFaces: 1, refineLandmarks: false });
  let faces = 0;
  mesh.onResults((results) => (faces = results.multiFaceLandmarks?.length ?? 0));
  const canvases = (await film()).map((frame) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: frame.width, height: frame.height });
    canvas.getContext("2d")!.putImageData(frame, 0, 0);
    return canvas;
  });
  const times = await measure((i) => mesh.send({ image: canvases[i % canvases.length]! }));
  return { name: "MediaPipe face mesh", faces, ...times };
}

/** Measure the engine with its default tracking on the same frames, also read from canvases. */
async function tracked() {
  const landmarker = await loadLandmarker("/models/face_crop_light/", { runtime: { folder: "/runtime/", threads: 1 } });
  const frames = (await film()).map((frame) => {
    const canvas = new OffscreenCanvas(frame.width, frame.height);
    canvas.getContext("2d", { willReadFrequently: true })!.putImageData(frame, 0, 0);
    return canvas;
  });
  const tracker = new Tracker(landmarker);
  let faces = 0;
  const times = await measure(async (i) => {
    faces = (await tracker.next(frames[i % frames.length]!, i / 30)).length;
  });
  return { name: "facekp, one thread", faces, ...times };
}

Object.assign(globalThis, { mediapipe, tracked });
