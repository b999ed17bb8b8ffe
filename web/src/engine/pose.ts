/** Head pose: the average head fitted to the points of a face. */
import { type Point, type Points, clamp, mean } from "./geometry";
import { DEPTH, EYES_MIDDLE, MEAN_FACE, MIRRORED, type Place, headPoint } from "./head";
import { solve } from "./linear";

/** Camera from x, y, depth of the average head to pixels (weak perspective): two rows of three factors and a shift. */
export type Camera = readonly [number, number, number, number, number, number, number, number];

/**
 * Head pose of a face.
 *
 * The head is rotated about its ear axis (pitch), then about the vertical axis (yaw), then in the image plane (roll),
 * so that rotating the image changes only the roll. All values are NaN if the points are not finite or coincide.
 */
export interface Pose {
  /** Degrees; positive: the nose points to the right of the image. */
  readonly yaw: number;
  /** Degrees; positive: the face looks up. Zero is the pitch of the mean face. */
  readonly pitch: number;
  /** Degrees; positive: clockwise in the image. */
  readonly roll: number;
  readonly camera: Camera;
}

/** Points that move with the skull: brows, nose, eyes. */
const RIGID = Array.from({ length: 31 }, (_, i) => 17 + i);

/** Weight of each of these points: brows and lids move with the expression. */
const TRUST = [...Array<number>(10).fill(0.3), ...Array<number>(9).fill(1), ...[1, 2].flatMap(() => [1, 0.5, 0.5, 1, 0.5, 0.5])]; // prettier-ignore

const ALL = TRUST.reduce((sum, trust) => sum + trust, 0);

/** The same points of the average head, relative to their weighted mean. */
const SHAPE = RIGID.map(headPoint).map((place, _, all) =>
  place.map((value, axis) => value - all.reduce((sum, other, k) => sum + (TRUST[k]! / ALL) * other[axis]!, 0)),
);

/** Weighted covariance matrix of `SHAPE`. */
const SPREAD = [0, 1, 2].map((i) => [0, 1, 2].map((j) => weighted(SHAPE, SHAPE, i, j)));

/** Regularisation towards the mean face where the camera hardly shows a face: the far side of a turned head. */
const RIDGE = 0.02;

/** Range of yaw in degrees over which the points of the far side gradually lose weight. */
const FAR = [25, 55] as const;

const DEGREES = 180 / Math.PI;
const UNKNOWN: Pose = { yaw: NaN, pitch: NaN, roll: NaN, camera: [NaN, NaN, NaN, NaN, NaN, NaN, NaN, NaN] };

/** Rows of a matrix. */
type Rows = readonly (readonly number[])[];

/** Project a place of the average head into the image. */
export function project([a, b, c, tx, d, e, f, ty]: Camera, [x, y, z]: Place): Point {
  return [a * x + b * y + c * z + tx, d * x + e * y + f * z + ty];
}

/**
 * Estimate the pose of a head from 68 points.
 *
 * Brows, nose and eyes are fitted, with more weight on points that move less; mouth and jaw move too freely.
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
  const { rotation, flat } = fitted;
  // Stickers stay on the eyes.
  const [ex, ey] = mean(points.subarray(72, 96));
  const [p, q] = flat.map((row) => dot(row, EYES_MIDDLE)) as [number, number];
  const [[a, b, c], [d, e, f]] = flat as [[number, number, number], [number, number, number]];
  return {
    yaw: DEGREES * Math.asin(clamp(-rotation[2]![0]!, -1, 1)),
    pitch: DEGREES * Math.atan2(rotation[2]![1]!, rotation[2]![2]!),
    roll: DEGREES * Math.atan2(rotation[1]![0]!, rotation[0]![0]!),
    camera: [a, b, c, ex - p, d, e, f, ey - q],
  };
}

/** Transform a face to the frontal view, in units of the mean face: yaw, pitch, roll and size are removed. */
export function fromTheFront(points: Points, [a, b, c, tx, d, e, f, ty]: Camera): Float64Array {
  const ridge = (RIDGE * (a * a + b * b + c * c + d * d + e * e + f * f)) / 2;
  // The least-squares solution of flat @ face = seen, regularised towards the mean face.
  const [xx, xy, yy] = [a * a + d * d + ridge, a * b + d * e, b * b + e * e + ridge];
  const det = xx * yy - xy * xy;
  const face = new Float64Array(points.length);
  for (let i = 0; i < points.length / 2; i++) {
    const [u, v] = [points[2 * i]! - tx - DEPTH[i]! * c, points[2 * i + 1]! - ty - DEPTH[i]! * f];
    const x = a * u + d * v + ridge * MEAN_FACE[2 * i]!;
    const y = b * u + e * v + ridge * MEAN_FACE[2 * i + 1]!;
    face[2 * i] = (yy * x - xy * y) / det;
    face[2 * i + 1] = (xx * y - xy * x) / det;
  }
  return face;
}

/**
 * Replace the hidden side of a turned head by the mirror image of its visible side, seen by the same camera.
 *
 * @returns The points; unchanged if the head is hardly turned.
 */
export function completeFarSide(points: Points, { yaw, camera }: Pose): Points {
  const turned = (Math.abs(yaw) - FAR[0]) / (FAR[1] - FAR[0]);
  if (!(turned > 0)) return points; // also if NaN
  const face = fromTheFront(points, camera);
  return Float64Array.from(points, (value, at) => {
    const i = at >> 1;
    const far = clamp((Math.sign(yaw) * (MEAN_FACE[2 * i]! - 0.5)) / 0.1, 0, 1) * Math.min(turned, 1);
    const other = MIRRORED[i]!;
    const projected = project(camera, [1 - face[2 * other]!, face[2 * other + 1]!, DEPTH[i]!]);
    return value + far * (projected[at & 1]! - value);
  });
}

/** Return the rotation (3x3), and its first two rows times the scale. */
function fitHead(seen: readonly Point[]): { rotation: Rows; flat: Rows } | null {
  // All that the fit needs.
  const cross = [0, 1].map((i) => [0, 1, 2].map((j) => weighted(seen, SHAPE, i, j)));
  const loose = solve(SPREAD, transposed(cross)); // SPREAD is symmetric
  const nearest = loose && nearestRotation(transposed(loose));
  const best = nearest && improved(nearest.rotation, nearest.scale, SPREAD, cross);
  if (!best) return null;
  const flat = best.rotation.slice(0, 2).map((row) => row.map((value) => best.scale * value));
  return { rotation: best.rotation, flat };
}

function weighted(a: Rows, b: Rows, i: number, j: number): number {
  return TRUST.reduce((sum, trust, k) => sum + (trust / ALL) * a[k]![i]! * b[k]![j]!, 0);
}

/** Return the rotation and scale nearest to an affine camera (2x3), by its polar decomposition. */
function nearestRotation([top, bottom]: Rows): { rotation: Rows; scale: number } | null {
  const [xx, xy, yy] = [dot(top!, top!), dot(top!, bottom!), dot(bottom!, bottom!)];
  // The square of the symmetric factor is [[xx, xy], [xy, yy]]; its square root is (itself + s) / t.
  const s = Math.sqrt(Math.max(xx * yy - xy * xy, 0));
  const t = Math.sqrt(xx + yy + 2 * s);
  if (!(s > 1e-6 * t * t)) return null; // for points on a line, rounding leaves up to about 1e-8
  const [p, q, r] = [(yy + s) / t / s, -xy / t / s, (xx + s) / t / s]; // inverse of the root
  const rows = [
    top!.map((value, i) => p * value + q * bottom![i]!),
    top!.map((value, i) => q * value + r * bottom![i]!),
  ];
  return { rotation: [...rows, crossed(rows[0]!, rows[1]!)], scale: t / 2 };
}

/** Take one Gauss-Newton step on rotation and scale; more change nothing. `spread` and `cross` hold all point sums. */
function improved(rotation: Rows, scale: number, spread: Rows, cross: Rows): { rotation: Rows; scale: number } | null {
  const back = transposed(rotation);
  const m = times(times(rotation, spread), back);
  const b = times(cross, back).map((row, i) => row.map((value, j) => value / scale - m[i]![j]!));
  const flat = m[0]![0]! + m[1]![1]!;
  const damping = 1e-3 * flat;
  const [m02, m12, m22] = [m[0]![2]!, m[1]![2]!, m[2]![2]!];
  const system = [
    [m22 + damping, 0, -m02, -m12],
    [0, m22 + damping, -m12, m02],
    [-m02, -m12, flat + damping, 0],
    [-m12, m02, 0, flat + damping],
  ];
  const right = [[-b[1]![2]!], [b[0]![2]!], [b[1]![0]! - b[0]![1]!], [b[0]![0]! + b[1]![1]!]];
  const solved = solve(system, right);
  if (!solved) return null;
  const [x, y, z, growth] = solved.flat() as [number, number, number, number];
  const size = Math.hypot(x, y, z) + 1e-12;
  const angle = 2 * Math.atan(size / 2); // Cayley transform, as in Python
  const axis = [
    [0, -z, y],
    [z, 0, -x],
    [-y, x, 0],
  ];
  const twice = times(axis, axis);
  const [sin, cos] = [Math.sin(angle) / size, (1 - Math.cos(angle)) / size ** 2];
  // Rodrigues' formula.
  const change = axis.map((row, i) => row.map((value, j) => Number(i === j) + sin * value + cos * twice[i]![j]!));
  return { rotation: times(change, rotation), scale: scale * Math.exp(clamp(growth, -1, 1)) };
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
