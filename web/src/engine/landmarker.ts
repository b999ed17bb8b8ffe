/** From an image to faces: box -> points -> upright crop around them -> points again, doubtful ones once more. */
import type { ScoredBox } from "./boxes";
import { type Detector, type Effort, checkDetector, createDetector } from "./detector";
import { UserError } from "./errors";
import { type Face, faceOf, largestFirst, withoutDoubles } from "./faces";
import { type Folder, folderAt } from "./files";
import { type Box, type Matrix, apply, boundingBox, compose, invert, scaling, translation } from "./geometry";
import { type Source, toPixels } from "./image";
import { NUM_POINTS, eyeDistance, levelling } from "./landmarks";
import { openNetwork } from "./faster";
import { type Network, blank } from "./network";
import type { PointsRecipe, Recipe } from "./recipe";
import type { Backend, Runtime } from "./runtime";
import { type Pixels, warp } from "./warp";

/** Faces that go through the network at once. */
const BATCH_SIZE = 32;

/** A network that scores its points finds them in any pattern that a detector took for a face; these are dropped. */
const LEAST_SCORE = 0.7;

/** Between these scores the points are looked for once more: nearly always a turned head. Below, it is no face. */
const DOUBTFUL = [0.05, 0.8] as const;

/** Nor are faces looked at a second time that the network calls none and the detector scores lower than this. */
const UNLIKELY = 0.4;

/** What a doubtful face's score counts: patterns come to look like faces, too, when looked at often enough. */
const LATE_TRUST = 0.9;

/** A face that moved by more than this part of the distance of its eyes has left its last crop. */
const FAR = 0.15;

/** A face on its way: what is known of it so far. */
interface Candidate {
  readonly likely: number;
  points: Float32Array;
  trust: number;
}

/** Finds faces and their points. */
export class Landmarker {
  /**
   * @param network - Of points.
   * @param detector - Finds the faces when a call brings no boxes.
   * @param owned - What else is to be closed with it.
   */
  constructor(
    private readonly network: Network<PointsRecipe>,
    private readonly detector: Detector,
    private readonly owned: readonly { close(): Promise<void> }[] = [],
  ) {}

  /** What runs the network of points. */
  get backend(): Backend {
    return this.network.backend;
  }

  /**
   * Find the faces of an image.
   *
   * @param image - A photo, a canvas, a video's frame, or its pixels.
   * @param effort - "quick" finds the large faces alone, in a third of the time.
   * @returns All faces, the largest first. The scores are a geometric mean of the detector's and, three times, the
   * network's.
   */
  async detect(image: Source, effort: Effort = "full"): Promise<Face[]> {
    const pixels = toPixels(image);
    const found = (await this.detector(pixels, effort)).filter(({ box }) => isProper(box));
    const candidates = await this.fit(pixels, found);
    if (!this.network.recipe.scored)
      return withoutDoubles(candidates.map(({ points, likely }) => faceOf(points, likely)));
    // What is no face fools one of the two, seldom both.
    const faces = candidates.map(({ points, likely, trust }) => faceOf(points, (likely * trust ** 3) ** 0.25));
    return withoutDoubles(faces.filter((face) => face.score >= LEAST_SCORE));
  }

  /**
   * Find the points of faces already found.
   *
   * @param image - As for `detect`.
   * @param boxes - Each around a face's landmarks.
   * @returns As many faces, the largest first.
   * @throws RangeError if a box is empty or not finite.
   */
  async locate(image: Source, boxes: readonly Box[]): Promise<Face[]> {
    if (!boxes.length) return [];
    const wrong = boxes.find((box) => !isProper(box));
    if (wrong) throw new RangeError(`box ${wrong.join(", ")}: must be x0, y0, x1, y1 with x0 < x1 and y0 < y1`);
    const certain = boxes.map((box) => ({ box, score: 1 }));
    const candidates = await this.fit(toPixels(image), certain);
    return largestFirst(candidates.map(({ points, trust }) => faceOf(points, trust)));
  }

  /**
   * Find the points of faces again that have moved a little: in upright crops around the last points, so that one look
   * does, and a second one only for a face that moved far or is in doubt.
   *
   * @param image - As for `detect`.
   * @param last - The points of each face in the frame before.
   * @returns As many faces, in the same order.
   */
  async follow(image: Source, last: readonly Float32Array[]): Promise<Face[]> {
    if (!last.length) return [];
    const pixels = toPixels(image);
    const seen = await this.points(
      pixels,
      last.map((points) => this.uprightCrop(points)),
    );
    const candidates = seen.map((each) => ({ ...each, likely: 1 }));
    const unsure = candidates.filter(({ points, trust }, index) => trust < DOUBTFUL[1] || isFar(points, last[index]!));
    await this.lookAgain(pixels, unsure);
    return candidates.map(({ points, trust }) => faceOf(points, trust));
  }

  /** Give the networks' memory back. */
  async close(): Promise<void> {
    await Promise.all([this.network, ...this.owned].map((each) => each.close()));
  }

  /** Points and the network's scores for each box. */
  private async fit(image: Pixels, found: readonly ScoredBox[]): Promise<Candidate[]> {
    const scored = this.network.recipe.scored;
    const first = await this.points(
      image,
      found.map(({ box }) => this.crop(box)),
    );
    const candidates = first.map((seen, index) => ({ ...seen, likely: found[index]!.score }));
    await this.lookAgain(
      image,
      candidates.filter((c) => !scored || c.trust > DOUBTFUL[0] || c.likely >= UNLIKELY),
    );
    if (scored) {
      const doubtful = candidates.filter(({ trust }) => trust > DOUBTFUL[0] && trust < DOUBTFUL[1]);
      await this.lookAgain(image, doubtful);
      for (const candidate of doubtful) candidate.trust *= LATE_TRUST;
    }
    return candidates;
  }

  /** Write what the upright crops show into the candidates. */
  private async lookAgain(image: Pixels, candidates: readonly Candidate[]): Promise<void> {
    const again = await this.points(
      image,
      candidates.map(({ points }) => this.uprightCrop(points)),
    );
    candidates.forEach((candidate, index) => Object.assign(candidate, again[index]));
  }

  /** The matrix that lays a face where training had it in the crop. */
  private crop([x0, y0, x1, y1]: Box): Matrix {
    const { size, faceSide, faceCentre } = this.network.recipe;
    return compose(
      translation(-(x0 + x1) / 2, -(y0 + y1) / 2),
      scaling((size * faceSide) / Math.max(x1 - x0, y1 - y0)),
      translation(faceCentre[0] * size, faceCentre[1] * size),
    );
  }

  /** The same from points, turned so that the eyes are level. */
  private uprightCrop(points: Float32Array): Matrix {
    const turn = levelling(points);
    return compose(turn, this.crop(boundingBox(apply(turn, points))));
  }

  /** Points in pixels of the image, and the network's scores, for each crop. */
  private async points(image: Pixels, crops: readonly Matrix[]): Promise<Pick<Candidate, "points" | "trust">[]> {
    const { size, scored } = this.network.recipe;
    const found: Pick<Candidate, "points" | "trust">[] = [];
    for (let start = 0; start < crops.length; start += BATCH_SIZE) {
      const matrices = crops.slice(start, start + BATCH_SIZE);
      const [places, scores] = await this.network.run(matrices.map((matrix) => warp(image, matrix, size, size)));
      matrices.forEach((matrix, index) => {
        const inCrop = places!.subarray(2 * NUM_POINTS * index, 2 * NUM_POINTS * (index + 1));
        found.push({ points: apply(invert(matrix), inCrop), trust: scored ? scores![index]! : 1 });
      });
    }
    return found;
  }
}

/** Whether a box is finite and not empty. */
function isProper([x0, y0, x1, y1]: Box): boolean {
  return x1 > x0 && y1 > y0 && Number.isFinite(x0 + y0 + x1 + y1);
}

/** Whether a face moved, on average, by more than a part of the distance of its eyes. */
function isFar(points: Float32Array, last: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < points.length; i += 2) sum += Math.hypot(points[i]! - last[i]!, points[i + 1]! - last[i + 1]!);
  return (2 * sum) / points.length > FAR * eyeDistance(last);
}

/** Which networks, and where ONNX Runtime's files lie. */
export interface LandmarkerOptions {
  /** Address of a folder with a face detector. */
  readonly detector?: string | URL;
  /** Address of the network that tells faces from patterns, for networks without a score of their own. */
  readonly fallback?: string | URL;
  /** See `Runtime`; without it, ONNX Runtime's defaults apply. */
  readonly runtime?: Runtime;
}

/**
 * Load a landmarker.
 *
 * @param url - Address of a folder that `tools/export.py` wrote: `model.onnx` and `recipe.json`.
 * @param options - By default the detector lies beside it as `face_detector`, and the fallback as `face_crop_light`.
 */
export function loadLandmarker(url: string | URL, options: LandmarkerOptions = {}): Promise<Landmarker> {
  const folder = new URL(String(url).replace(/\/*$/, "/"), globalThis.location?.href);
  const detector = folderAt(options.detector ?? new URL("../face_detector/", folder));
  const fallback = folderAt(options.fallback ?? new URL("../face_crop_light/", folder));
  return openLandmarker(folderAt(folder), detector, fallback, options.runtime);
}

/**
 * The same from folders of any kind.
 *
 * @param points - The network of points.
 * @param boxes - The face detector.
 * @param fallback - The network that tells faces from patterns, where `points` gives no scores.
 * @param runtime - See `Runtime`.
 */
export async function openLandmarker(
  points: Folder,
  boxes: Folder,
  fallback?: Folder,
  runtime?: Runtime,
): Promise<Landmarker> {
  const opened: Network[] = [];
  try {
    const network = await openKind(points, "points", opened, runtime);
    await checkPoints(network);
    if (!network.recipe.scored && fallback) {
      // The detector counts on a network's score to refuse what is no face.
      const sure = await openLandmarker(fallback, boxes, undefined, runtime);
      return new Landmarker(network, (image, effort) => sure.detect(image, effort), [sure]);
    }
    const detecting = await openKind(boxes, "boxes", opened, runtime);
    await checkDetector(detecting);
    return new Landmarker(network, createDetector(detecting), [detecting]);
  } catch (error) {
    await Promise.all(opened.map((network) => network.close()));
    throw error;
  }
}

/** Open a network and see that it finds what is wanted; it is one of the `opened` even if it does not. */
async function openKind<K extends Recipe["finds"]>(
  folder: Folder,
  wanted: K,
  opened: Network[],
  runtime: Runtime | undefined,
): Promise<Network<Extract<Recipe, { finds: K }>>> {
  const network = await openNetwork(folder, runtime);
  opened.push(network);
  const finds = network.recipe.finds;
  if (finds !== wanted) throw new UserError("network.finds", { file: network.name, finds, wanted });
  return network as Network<Extract<Recipe, { finds: K }>>;
}

/** Run a network of points once, to see whether it is one. */
async function checkPoints(network: Network<PointsRecipe>): Promise<void> {
  const { size, scored } = network.recipe;
  const [places, scores] = await network.run([blank(size, size)]);
  if (places?.length !== 2 * NUM_POINTS || (scored && scores?.length !== 1)) {
    throw new UserError("network.shape", { file: network.name });
  }
}
