/** The result of face detection and landmark prediction in an image. */
import { SAME_FACE, type ScoredBox, area, isPart, suppressOverlaps } from "./boxes";
import { boundingBox } from "./geometry";

/** A face in an image. */
export interface Face extends ScoredBox {
  /** x, y, x, y, ... in pixels of the image: 68 points in iBUG order. */
  readonly points: Float32Array;
}

/** Create a face from its points. */
export function faceOf(points: Float32Array, score: number): Face {
  return { points, box: boundingBox(points), score };
}

/** Sort faces, largest box first. */
export function largestFirst<T extends ScoredBox>(faces: readonly T[]): T[] {
  return [...faces].sort((a, b) => area(b.box) - area(a.box));
}

/**
 * Keep the higher-scoring of two coinciding faces, and drop false detections inside a face.
 *
 * Different boxes of a detector may lead to the same points. A small face may also be found around a nose and a mouth.
 */
export function withoutDoubles(faces: readonly Face[]): Face[] {
  const kept = largestFirst(suppressOverlaps(largestFirst(faces), SAME_FACE));
  return kept.filter((face) => !kept.some((other) => isPart(face.box, other.box) && face.score < other.score));
}
