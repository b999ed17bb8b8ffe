/** How a head is turned: the average head, laid under the points of a face. */
import { type Point, type Points, clamp, mean } from "./geometry";
import { DEPTH, EYES_MIDDLE, MEAN_FACE, MIRRORED, type Place, headPoint } from "./head";
import { solve } from "./linear";

/** From x, y, depth of the average head to pixels (scaled orthography): two rows of three factors and a shift. */
export type Camera = readonly [number, number, number, number, number, number, number, number];

/**
 * How a head is turned.
 *
 * The head is turned about its ear axis (pitch), then about the upright axis (yaw), then in the image (roll), so that a
 * turned image changes the roll alone. All is NaN where the points are not finite or coincide.
 */
export interface Pose {
  /** Degrees; positive: the nose points to the right of the image. */
  readonly yaw: number;
  /** Degrees; positive: the face looks up. Zero is the mean face's. */
  readonly pitch: number;
  /** Degrees; positive: clockwise in the image. */
  readonly roll: number;
  readonly camera: Camera;
}

/** The points that the skull carries: brows, nose, eyes. */
const RIGID = Array.from({ length: 31 }, (_, i) => 17 + i);

/** How far each may be trusted to stay when the face moves. */
const TRUST = [...Array<number>(10).fill(0.3), ...Array<number>(9).fill(1), ...[1, 2].flatMap(() => [1, 0.5, 0.5, 1, 0.5, 0.5])]; // prettier-ignore

const ALL = TRUST.reduce((sum, trust) => sum + trust, 0);

/** The same points of the average head, from their weighted mean. */
const SHAPE = RIGID.map(headPoint).map((place, _, all) =>
  place.map((value, axis) => value - all.reduce((sum, other, k) => sum + (TRUST[k]! / ALL) * other[axis]!, 0)),
);

/** The weighted sums of the products of their coordinates. */
const SPREAD = [0, 1, 2].map((i) => [0, 1, 2].map((j) => weighted(SHAPE, SHAPE, i, j)));

/** How strongly a face is drawn to the mean face where the camera hardly shows it: the far side of a turned head. */
const DRAW = 0.02;

/** From the first to the second yaw, in degrees, the points of the far side are less and less believed. */
const FAR = [25, 55] as const;

const DEGREES = 180 / Math.PI;
const UNKNOWN: Pose = { yaw: NaN, pitch: NaN, roll: NaN, camera: [NaN, NaN, NaN, NaN, NaN, NaN, NaN, NaN] };

/** Rows of a matrix. */
type Rows = readonly (readonly number[])[];

/** Where a camera sees a place of the average head. */
export function project([a, b, c, tx, d, e, f, ty]: Camera, [x, y, z]: Place): Point {
  return [a * x + b * y + c * z + tx, d * x + e * y + f * z + ty];
}

/**
 * Find how a head is turned, from 68 points.
 *
 * Brows, nose and eyes are fitted, what moves less with more weight; mouth and jaw move too freely.
 */
export function headPose(points: Points): Pose {
  const seen = RIGID.map((index): Point => [points[2 * index]!, points[2 * index + 1]!]);
  const spans = [0, 1].map((axis) => {
    const values = seen.map((point) => point[axis]!);
    return Math.max(...values) - Math.min(...values);
  });
  if (!points.every(Number.isFinite) || !(Math.max(...spans) > 1e-6)) return UNKNOWN;
  const fitted = fitHead(seen);
  if (!fitted) return UNKNOWN;
  const { turn, flat } = fitted;
  // What is worn keeps to the eyes.
  const [ex, ey] = mean(points.subarray(72, 96));
  const [p, q] = flat.map((row) => dot(row, EYES_MIDDLE)) as [number, number];
  const [[a, b, c], [d, e, f]] = flat as [[number, number, number], [number, number, number]];
  return {
    yaw: DEGREES * Math.asin(clamp(-turn[2]![0]!, -1, 1)),
    pitch: DEGREES * Math.atan2(turn[2]![1]!, turn[2]![2]!),
    roll: DEGREES * Math.atan2(turn[1]![0]!, turn[0]![0]!),
    camera: [a, b, c, ex - p, d, e, f, ey - q],
  };
}

/** A face as it would look from the front: yaw, pitch, roll and size are taken out; in units of the mean face. */
export function fromTheFront(points: Points, [a, b, c, tx, d, e, f, ty]: Camera): Float64Array {
  const draw = (DRAW * (a * a + b * b + c * c + d * d + e * e + f * f)) / 2;
  // The least squares solution of flat @ face = seen, drawn to the mean face.
  const [xx, xy, yy] = [a * a + d * d + draw, a * b + d * e, b * b + e * e + draw];
  const det = xx * yy - xy * xy;
  const face = new Float64Array(points.length);
  for (let i = 0; i < points.length / 2; i++) {
    const [u, v] = [points[2 * i]! - tx - DEPTH[i]! * c, points[2 * i + 1]! - ty - DEPTH[i]! * f];
    const x = a * u + d * v + draw * MEAN_FACE[2 * i]!;
    const y = b * u + e * v + draw * MEAN_FACE[2 * i + 1]!;
    face[2 * i] = (yy * x - xy * y) / det;
    face[2 * i + 1] = (xx * y - xy * x) / det;
  }
  return face;
}

/**
 * Replace what a turned head hides by the mirror image of what it shows, seen by the same camera.
 *
 * @returns The points as they are if the head is hardly turned.
 */
export function completeFarSide(points: Points, { yaw, camera }: Pose): Points {
  const turned = (Math.abs(yaw) - FAR[0]) / (FAR[1] - FAR[0]);
  if (!(turned > 0)) return points; // NaN, too
  const face = fromTheFront(points, camera);
  return Float64Array.from(points, (value, at) => {
    const i = at >> 1;
    const far = clamp((Math.sign(yaw) * (MEAN_FACE[2 * i]! - 0.5)) / 0.1, 0, 1) * Math.min(turned, 1);
    const other = MIRRORED[i]!;
    const there = project(camera, [1 - face[2 * other]!, face[2 * other + 1]!, DEPTH[i]!]);
    return value + far * (there[at & 1]! - value);
  });
}

/** The rotation (3x3), and its first two rows times the scale. */
function fitHead(seen: readonly Point[]): { turn: Rows; flat: Rows } | null {
  // All that the fit needs to know.
  const cross = [0, 1].map((i) => [0, 1, 2].map((j) => weighted(seen, SHAPE, i, j)));
  const loose = solve(SPREAD, transposed(cross)); // SPREAD is symmetric
  const nearest = loose && nearestTurn(transposed(loose));
  const best = nearest && improved(nearest.turn, nearest.scale, SPREAD, cross);
  if (!best) return null;
  const flat = best.turn.slice(0, 2).map((row) => row.map((value) => best.scale * value));
  return { turn: best.turn, flat };
}

function weighted(a: Rows, b: Rows, i: number, j: number): number {
  return TRUST.reduce((sum, trust, k) => sum + (trust / ALL) * a[k]![i]! * b[k]![j]!, 0);
}

/** The rotation and scale that are nearest to an affine camera (2x3), by its polar decomposition. */
function nearestTurn([top, bottom]: Rows): { turn: Rows; scale: number } | null {
  const [xx, xy, yy] = [dot(top!, top!), dot(top!, bottom!), dot(bottom!, bottom!)];
  // The square of the symmetric factor is [[xx, xy], [xy, yy]]; its root is (itself + s) / t.
  const s = Math.sqrt(Math.max(xx * yy - xy * xy, 0));
  const t = Math.sqrt(xx + yy + 2 * s);
  if (!(s > 1e-6 * t * t)) return null; // of points on a line, rounding leaves up to some 1e-8
  const [p, q, r] = [(yy + s) / t / s, -xy / t / s, (xx + s) / t / s]; // the root's inverse
  const rows = [
    top!.map((value, i) => p * value + q * bottom![i]!),
    top!.map((value, i) => q * value + r * bottom![i]!),
  ];
  return { turn: [...rows, crossed(rows[0]!, rows[1]!)], scale: t / 2 };
}

/** One Gauss-Newton step on rotation and scale; more change nothing. The sums over the points are small matrices. */
function improved(turn: Rows, scale: number, spread: Rows, cross: Rows): { turn: Rows; scale: number } | null {
  const back = transposed(turn);
  const m = times(times(turn, spread), back);
  const b = times(cross, back).map((row, i) => row.map((value, j) => value / scale - m[i]![j]!));
  const flat = m[0]![0]! + m[1]![1]!;
  const draw = 1e-3 * flat;
  const [m02, m12, m22] = [m[0]![2]!, m[1]![2]!, m[2]![2]!];
  const system = [
    [m22 + draw, 0, -m02, -m12],
    [0, m22 + draw, -m12, m02],
    [-m02, -m12, flat + draw, 0],
    [-m12, m02, 0, flat + draw],
  ];
  const right = [[-b[1]![2]!], [b[0]![2]!], [b[1]![0]! - b[0]![1]!], [b[0]![0]! + b[1]![1]!]];
  const solved = solve(system, right);
  if (!solved) return null;
  const [x, y, z, grow] = solved.flat() as [number, number, number, number];
  const size = Math.hypot(x, y, z) + 1e-12;
  const angle = 2 * Math.atan(size / 2); // Cayley's map, as in Python
  const axis = [
    [0, -z, y],
    [z, 0, -x],
    [-y, x, 0],
  ];
  const twice = times(axis, axis);
  const [sin, cos] = [Math.sin(angle) / size, (1 - Math.cos(angle)) / size ** 2];
  // Rodrigues
  const change = axis.map((row, i) => row.map((value, j) => Number(i === j) + sin * value + cos * twice[i]![j]!));
  return { turn: times(change, turn), scale: scale * Math.exp(clamp(grow, -1, 1)) };
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function crossed(a: readonly number[], b: readonly number[]): number[] {
  return [0, 1, 2].map((i) => a[(i + 1) % 3]! * b[(i + 2) % 3]! - a[(i + 2) % 3]! * b[(i + 1) % 3]!);
}

function transposed(matrix: Rows): number[][] {
  return matrix[0]!.map((_, j) => matrix.map((row) => row[j]!));
}

function times(a: Rows, b: Rows): number[][] {
  return a.map((row) => b[0]!.map((_, j) => row.reduce((sum, value, k) => sum + value * b[k]![j]!, 0)));
}
