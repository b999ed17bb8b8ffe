/** In the browser: the engine on the images of `reference.py --pictures`, compared with the results of Python. */
import { type Face, Layer, loadLandmarker, loadSticker } from "../../src/engine";
import { faceOf } from "../../src/engine/faces";
import { folderAt } from "../../src/engine/files";
import { openOn } from "../../src/engine/network";
import { hasGpu } from "../../src/engine/runtime";
import { Wearer } from "../../src/engine/stickers/wearer";

interface PythonFace {
  points: [number, number][];
  boxes: number[];
  scores: number;
}

interface Index {
  pictures: { file: string; name: string; faces: PythonFace[] }[];
  worn: { picture: string; sticker: string; file: string; seconds: number; faces: PythonFace[] }[];
  placed: {
    sticker: string;
    layer: number;
    points: number[];
    target: number[];
    corners: number[];
    carried: number[];
  }[];
}

const FOLDER = "/tests/.pictures/";

async function picture(file: string): Promise<ImageData> {
  const bitmap = await createImageBitmap(await (await fetch(FOLDER + file)).blob(), { colorSpaceConversion: "none" });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

const toFace = ({ points, boxes, scores }: PythonFace): Face => ({
  points: Float32Array.from(points.flat()),
  box: boxes as unknown as Face["box"],
  score: scores,
});

/** Compare the faces of every image: their numbers, and the distance of each point in eye distances, and the scores. */
async function comparePoints(index: Index) {
  const landmarker = await loadLandmarker("/models/face_crop_light/", { runtime: { folder: "/runtime/" } });
  const results = [];
  for (const { file, name, faces } of index.pictures) {
    const found = await landmarker.detect(await picture(file));
    const errors: number[] = [];
    const scores: number[] = [];
    faces.forEach(({ points, scores: score }, i) => {
      const other = found[i];
      if (!other) return;
      const unit = Math.hypot(points[36]![0] - points[45]![0], points[36]![1] - points[45]![1]);
      points.forEach(([x, y], k) => {
        errors.push(Math.hypot(other.points[2 * k]! - x, other.points[2 * k + 1]! - y) / unit);
      });
      scores.push(Math.abs(other.score - score));
    });
    results.push({ name, python: faces.length, browser: found.length, errors, scores });
  }
  return results;
}

/** Compare every pack on the faces of Python: differences of grey levels where either implementation drew. */
async function compareStickers(index: Index) {
  const results = [];
  for (const { picture: file, sticker: name, file: drawn, seconds, faces } of index.worn) {
    const image = await picture(file);
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    context.putImageData(image, 0, 0);
    (await loadSticker(`/stickers/${name}/`)).draw(context, faces.map(toFace), seconds);
    const mine = context.getImageData(0, 0, image.width, image.height).data;
    const theirs = (await picture(drawn)).data;
    let [sum, count, worst] = [0, 0, 0];
    for (let at = 0; at < mine.length; at += 4) {
      const touched = [0, 1, 2].some(
        (c) => mine[at + c] !== image.data[at + c] || theirs[at + c] !== image.data[at + c],
      );
      if (!touched) continue;
      for (let c = 0; c < 3; c++) {
        const difference = Math.abs(mine[at + c]! - theirs[at + c]!);
        sum += difference;
        worst = Math.max(worst, difference);
        count++;
      }
    }
    results.push({
      pack: name,
      name: `${drawn} on ${file}`,
      mean: sum / Math.max(count, 1),
      worst,
      share: count / (0.75 * mine.length),
    });
  }
  return results;
}

/** Return the largest deviation from Python, in pixels, of the targets and the placed corners of all layers. */
async function comparePlacements(index: Index) {
  const stickers = new Map<string, Awaited<ReturnType<typeof loadSticker>>>();
  let worst = 0;
  const compare = (mine: ArrayLike<number>, theirs: ArrayLike<number>) => {
    for (let i = 0; i < theirs.length; i += 2) {
      worst = Math.max(worst, Math.hypot(mine[i]! - theirs[i]!, mine[i + 1]! - theirs[i + 1]!));
    }
  };
  for (const { sticker: name, layer: number, points, target, corners, carried } of index.placed) {
    if (!stickers.has(name)) stickers.set(name, await loadSticker(`/stickers/${name}/`));
    const layer = stickers.get(name)!.layers[number] as Layer;
    const wearer = new Wearer(faceOf(Float32Array.from(points), 1), 0);
    compare(layer.target(wearer), target);
    const placement = layer.place(wearer)!;
    for (let i = 0; i < carried.length; i += 2) {
      compare(placement.carry!([corners[i]!, corners[i + 1]!]), carried.slice(i, i + 2));
    }
  }
  return worst;
}

async function compare() {
  const index = (await (await fetch(`${FOLDER}index.json`)).json()) as Index;
  return {
    points: await comparePoints(index),
    stickers: await compareStickers(index),
    placement: await comparePlacements(index),
  };
}

export type Comparison = Awaited<ReturnType<typeof compare>>;

/** Return each network's largest difference of outputs on one image, with two simultaneous runs on WebGPU. */
async function compareBackends() {
  const runtime = { folder: "/runtime/" };
  const apart: number[] = [];
  for (const [name, side] of [
    ["face_crop_light", 112],
    ["face_detector", 64],
  ] as const) {
    const folder = folderAt(`/models/${name}/`);
    const image = { data: new Uint8Array(4 * side * side).map((_, i) => (i * 31) % 251), width: side, height: side };
    const [wanted] = await (await openOn("wasm", folder, runtime)).run([image]);
    const gpu = await openOn("webgpu", folder, runtime);
    const found = await Promise.all([gpu.run([image]), gpu.run([image])]);
    const differences = found.map(([numbers]) =>
      Math.max(...numbers!.map((value, i) => Math.abs(value - wanted![i]!))),
    );
    apart.push(Math.max(...differences));
  }
  return { gpu: await hasGpu(), apart };
}

export type Backends = Awaited<ReturnType<typeof compareBackends>>;

Object.assign(globalThis, { compare, compareBackends });
