/**
 * The 68 points of a face (iBUG's order), and the named positions on it that stickers are attached to.
 *
 * "Left" and "right" are the viewer's: the left eye is the one on the left of the image.
 */
import { type Matrix, type Point, type Points, mean, rotation } from "./geometry";
import { HEAD_PLACES, MEAN_FACE } from "./head";
import places from "./places.json";
import { type Pose, completeFarSide, headPose, project } from "./pose";

export const NUM_POINTS = 68;

const LEFT_EYE = [36, 42] as const;
const RIGHT_EYE = [42, 48] as const;

/** Curves to draw: first point, last point plus one, and whether the curve is closed. */
export const CURVES: readonly (readonly [number, number, boolean])[] = [
  [0, 17, false],
  [17, 22, false],
  [22, 27, false],
  [27, 31, false],
  [31, 36, false],
  [...LEFT_EYE, true],
  [...RIGHT_EYE, true],
  [48, 60, true],
  [60, 68, true],
];

/** Return the points from one index up to, but not including, another. */
export function part<T extends Points>(points: T, [from, to]: readonly [number, number]): T {
  return points.subarray(2 * from, 2 * to) as T;
}

/**
 * Return the anchors of a face, some of them extrapolated beyond the 68 points.
 *
 * The forehead, the crown and other anchors without landmarks are those of an average head in the same pose; an opening
 * mouth does not move them. On the far side of a turned head, the anchors mirror those of the near side.
 */
export function anchors(found: Points, pose: Pose = headPose(found)): Record<string, Point> {
  const points = completeFarSide(found, pose);
  const named: Record<string, Point> = {};
  for (const [name, indices] of Object.entries(places.anchors)) {
    named[name] = mean(Float64Array.from(indices.flatMap((index) => [points[2 * index]!, points[2 * index + 1]!])));
  }
  for (const [name, place] of Object.entries(HEAD_PLACES)) named[name] = project(pose.camera, place);
  return named;
}

/** Names of all anchors, sorted. */
export const ANCHOR_NAMES: readonly string[] = Object.keys(anchors(MEAN_FACE)).sort();

/** Return a polygon around the skin of a face: the jaw, closed by a half ellipse over the forehead. */
export function faceOutline(points: Points, pose: Pose = headPose(points)): Float64Array {
  const [x0, y0, x1, y1] = [points[0]!, points[1]!, points[32]!, points[33]!];
  const [mx, my, hx, hy] = [(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2];
  const forehead = project(pose.camera, HEAD_PLACES.forehead!);
  const [ux, uy] = [forehead[0] - mx, forehead[1] - my];
  const outline = [...part(points, [0, 17])];
  for (let step = 1; step < 17; step++) {
    const [cos, sin] = [Math.cos((step * Math.PI) / 17), Math.sin((step * Math.PI) / 17)];
    outline.push(mx + cos * hx + sin * ux, my + cos * hy + sin * uy);
  }
  return Float64Array.from(outline);
}

/** Return the distance between the outer eye corners, the unit of errors and speeds. */
export function eyeDistance(points: Points): number {
  return distance(points, 36, 45);
}

/** Return the rotation that makes the eyes of a face level. */
export function levelling(points: Points): Matrix {
  const [left, right] = [mean(part(points, LEFT_EYE)), mean(part(points, RIGHT_EYE))];
  return rotation(-Math.atan2(right[1] - left[1], right[0] - left[0]), mean(points));
}

function distance(points: Points, a: number, b: number): number {
  return Math.hypot(points[2 * a]! - points[2 * b]!, points[2 * a + 1]! - points[2 * b + 1]!);
}
