/** Landmark detection: box -> points -> upright crop -> refined points, with an extra pass if doubtful. */
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

/** Maximum number of faces in a batch of the network. */
const BATCH_SIZE = 32;

/** Minimum score of a face. A network that scores its points finds them in any pattern detected as a face. */
const MIN_SCORE = 0.7;

/** Range of the network's score in which a face gets an extra pass: nearly always a rotated head. Below: no face. */
const DOUBTFUL = [0.05, 0.8] as const;

/** A face with a score below `DOUBTFUL` in the first pass gets no second one if the detector's score is below this. */
const UNLIKELY = 0.4;

/** Factor for the score of a doubtful face after its extra pass: more passes also raise the score of other patterns. */
const LATE_TRUST = 0.9;

/** A face that moved by more than this fraction of its eye distance has left its last crop. */
const FAR = 0.15;

/** A possible face, with the detector's and the network's score. */
interface Candidate {
  readonly detectorScore: number;
  points: Float32Array;
  networkScore: number;
}

/** Finds faces and their points. */
export class Landmarker {
  /**
   * @param network - The network of points.
   * @param detector - Face detector for calls without boxes.
   * @param owned - Other resources that are closed with the landmarker.
   */
  constructor(
    private readonly network: Network<PointsRecipe>,
    private readonly detector: Detector,
    private readonly owned: readonly { close(): Promise<void> }[] = [],
  ) {}

  /** Backend that runs the network of points. */
  get backend(): Backend {
    return this.network.backend;
  }

  /**
   * Find the faces in an image.
   *
   * @param image - A photo, a canvas, a video frame, or its pixels.
   * @param effort - "quick" finds only the large faces, in a third of the time.
   * @returns All faces, largest first. A score is the geometric mean of the detector's score and, with weight three,
   * the network's.
   */
  async detect(image: Source, effort: Effort = "full"): Promise<Face[]> {
    const pixels = toPixels(image);
    const found = (await this.detector(pixels, effort)).filter(({ box }) => isValid(box));
    const candidates = await this.fit(pixels, found);
    if (!this.network.recipe.scored)
      return withoutDoubles(candidates.map(({ points, detectorScore }) => faceOf(points, detectorScore)));
    // A false detection rarely gets high scores from both.
    const faces = candidates.map(({ points, detectorScore, networkScore }) =>
      faceOf(points, (detectorScore * networkScore ** 3) ** 0.25),
    );
    return withoutDoubles(faces.filter((face) => face.score >= MIN_SCORE));
  }

  /**
   * Find the points of known faces.
   *
   * @param image - As for `detect`.
   * @param boxes - Boxes around the landmarks of each face.
   * @returns One face for each box, largest first.
   * @throws RangeError if a box is empty or not finite.
   */
  async locate(image: Source, boxes: readonly Box[]): Promise<Face[]> {
    if (!boxes.length) return [];
    const wrong = boxes.find((box) => !isValid(box));
    if (wrong) throw new RangeError(`box ${wrong.join(", ")}: must be x0, y0, x1, y1 with x0 < x1 and y0 < y1`);
    const certain = boxes.map((box) => ({ box, score: 1 }));
    const candidates = await this.fit(toPixels(image), certain);
    return largestFirst(candidates.map(({ points, networkScore }) => faceOf(points, networkScore)));
  }

  /**
   * Find the points of known faces that have moved a little, in upright crops around the last points. One pass is
   * enough; only a face that moved far or is doubtful gets a second one.
   *
   * @param image - As for `detect`.
   * @param last - The points of each face in the previous frame.
   * @returns One face for each of `last`, in the same order.
   */
  async follow(image: Source, last: readonly Float32Array[]): Promise<Face[]> {
    if (!last.length) return [];
    const pixels = toPixels(image);
    const seen = await this.points(
      pixels,
      last.map((points) => this.uprightCrop(points)),
    );
    const candidates = seen.map((each) => ({ ...each, detectorScore: 1 }));
    const unsure = candidates.filter(
      ({ points, networkScore }, index) => networkScore < DOUBTFUL[1] || isFar(points, last[index]!),
    );
    await this.refine(pixels, unsure);
    return candidates.map(({ points, networkScore }) => faceOf(points, networkScore));
  }

  /** Release the memory of the networks. */
  async close(): Promise<void> {
    await Promise.all([this.network, ...this.owned].map((each) => each.close()));
  }

  /** Return the candidates after all passes, one for each box. */
  private async fit(image: Pixels, found: readonly ScoredBox[]): Promise<Candidate[]> {
    const scored = this.network.recipe.scored;
    const first = await this.points(
      image,
      found.map(({ box }) => this.crop(box)),
    );
    const candidates = first.map((seen, index) => ({ ...seen, detectorScore: found[index]!.score }));
    await this.refine(
      image,
      candidates.filter((c) => !scored || c.networkScore > DOUBTFUL[0] || c.detectorScore >= UNLIKELY),
    );
    if (scored) {
      const doubtful = candidates.filter(
        ({ networkScore }) => networkScore > DOUBTFUL[0] && networkScore < DOUBTFUL[1],
      );
      await this.refine(image, doubtful);
      for (const candidate of doubtful) candidate.networkScore *= LATE_TRUST;
    }
    return candidates;
  }

  /** Run the network on upright crops of the candidates and write its outputs into them. */
  private async refine(image: Pixels, candidates: readonly Candidate[]): Promise<void> {
    const again = await this.points(
      image,
      candidates.map(({ points }) => this.uprightCrop(points)),
    );
    candidates.forEach((candidate, index) => Object.assign(candidate, again[index]));
  }

  /** Return the matrix that places a face in the crop as in training. */
  private crop([x0, y0, x1, y1]: Box): Matrix {
    const { size, faceSide, faceCentre } = this.network.recipe;
    return compose(
      translation(-(x0 + x1) / 2, -(y0 + y1) / 2),
      scaling((size * faceSide) / Math.max(x1 - x0, y1 - y0)),
      translation(faceCentre[0] * size, faceCentre[1] * size),
    );
  }

  /** Return the same matrix from points, rotated so that the eyes are level. */
  private uprightCrop(points: Float32Array): Matrix {
    const rotation = levelling(points);
    return compose(rotation, this.crop(boundingBox(apply(rotation, points))));
  }

  /** Return the points, in pixels of the image, and the network's score for each crop. */
  private async points(image: Pixels, crops: readonly Matrix[]): Promise<Pick<Candidate, "points" | "networkScore">[]> {
    const { size, scored } = this.network.recipe;
    const found: Pick<Candidate, "points" | "networkScore">[] = [];
    for (let start = 0; start < crops.length; start += BATCH_SIZE) {
      const matrices = crops.slice(start, start + BATCH_SIZE);
      const [places, scores] = await this.network.run(matrices.map((matrix) => warp(image, matrix, size, size)));
      matrices.forEach((matrix, index) => {
        const inCrop = places!.subarray(2 * NUM_POINTS * index, 2 * NUM_POINTS * (index + 1));
        found.push({ points: apply(invert(matrix), inCrop), networkScore: scored ? scores![index]! : 1 });
      });
    }
    return found;
  }
}

/** Return whether a box is finite and not empty. */
function isValid([x0, y0, x1, y1]: Box): boolean {
  return x1 > x0 && y1 > y0 && Number.isFinite(x0 + y0 + x1 + y1);
}

/** Return whether the points of a face moved on average by more than `FAR`. */
function isFar(points: Float32Array, last: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < points.length; i += 2) sum += Math.hypot(points[i]! - last[i]!, points[i + 1]! - last[i + 1]!);
  return (2 * sum) / points.length > FAR * eyeDistance(last);
}

/** Options of `loadLandmarker`: addresses of the other networks, and settings of ONNX Runtime. */
export interface LandmarkerOptions {
  /** Address of a folder with a face detector. */
  readonly detector?: string | URL;
  /** Address of a network of points with scores, which rejects false detections if the loaded one gives no scores. */
  readonly fallback?: string | URL;
  /** See `Runtime`; by default, the defaults of ONNX Runtime apply. */
  readonly runtime?: Runtime;
}

/**
 * Load a landmarker.
 *
 * @param url - Address of a folder that `tools/export.py` wrote: `model.onnx` and `recipe.json`.
 * @param options - By default, the detector is in the folder `face_detector` beside it, the fallback in
 * `face_crop_light`.
 */
export function loadLandmarker(url: string | URL, options: LandmarkerOptions = {}): Promise<Landmarker> {
  const folder = new URL(String(url).replace(/\/*$/, "/"), globalThis.location?.href);
  const detector = folderAt(options.detector ?? new URL("../face_detector/", folder));
  const fallback = folderAt(options.fallback ?? new URL("../face_crop_light/", folder));
  return openLandmarker(folderAt(folder), detector, fallback, options.runtime);
}

/**
 * Load a landmarker from folders of any kind.
 *
 * @param points - Folder of the network of points.
 * @param boxes - Folder of the face detector.
 * @param fallback - Folder of a network of points with scores, which rejects false detections if `points` gives none.
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
      // The detector relies on a network's score to reject false detections.
      const scoring = await openLandmarker(fallback, boxes, undefined, runtime);
      return new Landmarker(network, (image, effort) => scoring.detect(image, effort), [scoring]);
    }
    const boxNetwork = await openKind(boxes, "boxes", opened, runtime);
    await checkDetector(boxNetwork);
    return new Landmarker(network, createDetector(boxNetwork), [boxNetwork]);
  } catch (error) {
    await Promise.all(opened.map((network) => network.close()));
    throw error;
  }
}

/** Open a network and check that it finds what is `wanted`; it is added to `opened` in any case. */
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

/** Run a network of points once to check the shapes of its outputs. */
async function checkPoints(network: Network<PointsRecipe>): Promise<void> {
  const { size, scored } = network.recipe;
  const [places, scores] = await network.run([blank(size, size)]);
  if (places?.length !== 2 * NUM_POINTS || (scored && scores?.length !== 1)) {
    throw new UserError("network.shape", { file: network.name });
  }
}
