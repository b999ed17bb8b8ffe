/** The result of looking at an image. */
import { type ScoredBox, area, isPart, suppressOverlaps } from "./boxes";
import { boundingBox } from "./geometry";

/** A face of an image. */
export interface Face extends ScoredBox {
  /** x, y, x, y, ... in pixels of the image: 68 points in iBUG order. */
  readonly points: Float32Array;
}

/** Two faces that share more of their union are one. */
const MOST_SHARED = 0.4;

/** A face of its points. */
export function faceOf(points: Float32Array, score: number): Face {
  return { points, box: boundingBox(points), score };
}

/** Sort faces, the largest box first. */
export function largestFirst<T extends ScoredBox>(faces: readonly T[]): T[] {
  return [...faces].sort((a, b) => area(b.box) - area(a.box));
}

/**
 * Keep the better-scored of two faces that lie on each other, and drop what is found inside of a face.
 *
 * A detector's boxes may lie apart and still lead to the same points. And around a nose and a mouth the points of a small
 * face may be found.
 */
export function withoutDoubles(faces: readonly Face[]): Face[] {
  const kept = largestFirst(suppressOverlaps(largestFirst(faces), MOST_SHARED));
  return kept.filter((face) => !kept.some((other) => isPart(face.box, other.box) && face.score < other.score));
}
