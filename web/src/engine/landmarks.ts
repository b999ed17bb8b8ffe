/**
 * What the 68 points are (iBUG's order), and the places of a face that stickers are tied to.
 *
 * "Left" and "right" are the viewer's: the left eye is the one on the left of the picture.
 */
import { type Box, type Matrix, type Point, type Points, apply, boundingBox, mean, rotation } from "./geometry";
import { solve } from "./linear";

export const NUM_POINTS = 68;

const LEFT_EYE = [36, 42] as const;
const RIGHT_EYE = [42, 48] as const;

/** The points that the skull carries: neither jaw nor mouth moves them. */
const RIGID = [17, 48] as const;

/** Curves to draw: first point, the one behind the last, and whether the curve is closed. */
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

/** The mean face; the width of its bounding box is 1, the box's top left corner the origin. */
// prettier-ignore
export const MEAN_FACE = Float64Array.of(
  0.000, 0.174, 0.004, 0.306, 0.019, 0.437, 0.046, 0.565, 0.098, 0.684, 0.176, 0.788, 0.272, 0.875, 0.379, 0.945,
  0.500, 0.965, 0.621, 0.945, 0.728, 0.875, 0.824, 0.788, 0.902, 0.684, 0.954, 0.565, 0.981, 0.437, 0.996, 0.306,
  1.000, 0.174, 0.097, 0.070, 0.159, 0.016, 0.244, 0.000, 0.333, 0.012, 0.417, 0.045, 0.583, 0.045, 0.667, 0.012,
  0.756, 0.000, 0.841, 0.016, 0.903, 0.070, 0.500, 0.150, 0.500, 0.236, 0.500, 0.321, 0.500, 0.409, 0.400, 0.467,
  0.448, 0.485, 0.500, 0.501, 0.552, 0.485, 0.600, 0.467, 0.197, 0.163, 0.250, 0.132, 0.315, 0.133, 0.370, 0.175,
  0.310, 0.187, 0.246, 0.186, 0.630, 0.175, 0.685, 0.133, 0.750, 0.132, 0.803, 0.163, 0.754, 0.186, 0.690, 0.187,
  0.308, 0.630, 0.378, 0.599, 0.450, 0.584, 0.500, 0.596, 0.550, 0.584, 0.622, 0.599, 0.692, 0.630, 0.624, 0.698,
  0.554, 0.728, 0.500, 0.733, 0.446, 0.728, 0.376, 0.698, 0.338, 0.633, 0.450, 0.627, 0.500, 0.632, 0.550, 0.627,
  0.662, 0.633, 0.551, 0.663, 0.500, 0.669, 0.449, 0.663,
);

/** How far each rigid point lies before the ears, in units of `MEAN_FACE`: a rough average of adult heads. */
// prettier-ignore
const RIGID_DEPTH = [
  0.20, 0.27, 0.32, 0.35, 0.37, 0.37, 0.35, 0.32, 0.27, 0.20, // brows
  0.37, 0.43, 0.50, 0.56, 0.42, 0.45, 0.47, 0.45, 0.42, // nose
  0.26, 0.29, 0.30, 0.29, 0.30, 0.28, 0.29, 0.30, 0.29, 0.26, 0.28, 0.30, // eyes
];

/** Places of the head that carry no landmarks: x, y, depth in units of `MEAN_FACE`. */
const HEAD_PLACES = {
  forehead: [0.5, -0.23, 0.32],
  above_eyes: [0.5, -0.275, 0.29],
  crown: [0.5, -0.54, -0.1],
  head_centre: [0.5, -0.05, -0.1],
  left_temple: [0.01, -0.05, 0],
  right_temple: [0.99, -0.05, 0],
} as const;

const EYES_MIDDLE = [...mean(part(MEAN_FACE, [LEFT_EYE[0], RIGHT_EYE[1]])), 0.29] as const;

/** For each rigid point three numbers: moved points times these give the loose camera (the pseudo-inverse). */
const SOLVE_HEAD = pseudoInverse();

function pseudoInverse(): number[][] {
  const shape = RIGID_DEPTH.map((depth, i) => {
    const at = 2 * (RIGID[0] + i);
    return [MEAN_FACE[at]!, MEAN_FACE[at + 1]!, depth];
  });
  const centre = [0, 1, 2].map((axis) => shape.reduce((sum, row) => sum + row[axis]!, 0) / shape.length);
  const centred = shape.map((row) => row.map((value, axis) => value - centre[axis]!));
  const square = [0, 1, 2].map((i) => [0, 1, 2].map((j) => centred.reduce((sum, row) => sum + row[i]! * row[j]!, 0)));
  const transposed = [0, 1, 2].map((axis) => centred.map((row) => row[axis]!));
  const solved = solve(square, transposed)!;
  return centred.map((_, i) => solved.map((row) => row[i]!));
}

/** Points from one index up to another. */
export function part<T extends Points>(points: T, [from, to]: readonly [number, number]): T {
  return points.subarray(2 * from, 2 * to) as T;
}

/** How an average head is turned and scaled: two rows of three numbers. */
export type Camera = readonly [number, number, number, number, number, number];

/**
 * How an average head must be turned and scaled to look like these points (scaled orthography).
 *
 * @param points - 68 points.
 * @returns From x, y, depth relative to the eyes' middle to pixels relative to it.
 */
export function headCamera(points: Points): Camera {
  const rigid = part(points, RIGID);
  const [mx, my] = mean(rigid);
  const loose = [0, 0, 0, 0, 0, 0];
  SOLVE_HEAD.forEach((weights, i) => {
    const [x, y] = [rigid[2 * i]! - mx, rigid[2 * i + 1]! - my];
    weights.forEach((weight, axis) => {
      loose[axis]! += weight * x;
      loose[3 + axis]! += weight * y;
    });
  });
  return nearestCamera(loose as unknown as Camera);
}

/** The scaled orthographic camera that is nearest to any affine one, by its polar decomposition. */
function nearestCamera(loose: Camera): Camera {
  const [a, b, c, d, e, f] = loose;
  // The square of the symmetric factor, and its root: of a 2x2 matrix M it is (M + s) / t.
  const [xx, xy, yy] = [a * a + b * b + c * c, a * d + b * e + c * f, d * d + e * e + f * f];
  const s = Math.sqrt(Math.max(xx * yy - xy * xy, 0));
  const t = Math.sqrt(xx + yy + 2 * s);
  if (!(s > 1e-18)) return [0, 0, 0, 0, 0, 0];
  const scale = t / 2; // the mean of the singular values: half the trace of the root
  const [p, q, r] = [((yy + s) / t / s) * scale, ((-xy / t) * scale) / s, ((xx + s) / t / s) * scale];
  return [p * a + q * d, p * b + q * e, p * c + q * f, q * a + r * d, q * b + r * e, q * c + r * f];
}

/**
 * Name places of a face, some of them extrapolated beyond the 68 points.
 *
 * The forehead, the crown and other places without landmarks are those of an average head that is turned like this
 * one; an opening mouth does not move them.
 */
export function anchors(points: Points): Record<string, Point> {
  const camera = headCamera(points);
  const eyes = mean(part(points, [LEFT_EYE[0], RIGHT_EYE[1]]));
  const at = (index: number): Point => [points[2 * index]!, points[2 * index + 1]!];
  const middle = (...indices: number[]): Point => mean(Float64Array.from(indices.flatMap(at)));
  const places: Record<string, Point> = {
    left_eye: mean(part(points, LEFT_EYE)),
    right_eye: mean(part(points, RIGHT_EYE)),
    left_eye_outer: at(36),
    right_eye_outer: at(45),
    brow_centre: middle(21, 22),
    left_brow: mean(part(points, [17, 22])),
    right_brow: mean(part(points, [22, 27])),
    nose_bridge: at(27),
    nose_tip: at(30),
    nose_base: at(33),
    left_cheek: middle(2, 31, 48),
    right_cheek: middle(14, 35, 54),
    mouth_left: at(48),
    mouth_right: at(54),
    mouth: mean(part(points, [48, 60])),
    mouth_top: at(51),
    mouth_bottom: at(57),
    left_ear: at(0),
    right_ear: at(16),
    left_jaw: at(4),
    right_jaw: at(12),
    chin: at(8),
  };
  for (const [name, place] of Object.entries(HEAD_PLACES)) {
    const [x, y, z] = place.map((value, axis) => value - EYES_MIDDLE[axis]!) as [number, number, number];
    places[name] = [
      eyes[0] + camera[0] * x + camera[1] * y + camera[2] * z,
      eyes[1] + camera[3] * x + camera[4] * y + camera[5] * z,
    ];
  }
  return places;
}

/** Names of all places, sorted. */
export const ANCHOR_NAMES: readonly string[] = Object.keys(anchors(MEAN_FACE)).sort();

/** Polygon around a face's skin: the jaw, closed by a half ellipse over the forehead. */
export function faceOutline(points: Points): Float64Array {
  const [x0, y0, x1, y1] = [points[0]!, points[1]!, points[32]!, points[33]!];
  const [mx, my, hx, hy] = [(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2];
  const forehead = anchors(points).forehead!;
  const [ux, uy] = [forehead[0] - mx, forehead[1] - my];
  const outline = [...part(points, [0, 17])];
  for (let step = 1; step < 17; step++) {
    const [cos, sin] = [Math.cos((step * Math.PI) / 17), Math.sin((step * Math.PI) / 17)];
    outline.push(mx + cos * hx + sin * ux, my + cos * hy + sin * uy);
  }
  return Float64Array.from(outline);
}

/** The unit of errors and speeds: the distance between the outer eye corners. */
export function eyeDistance(points: Points): number {
  return distance(points, 36, 45);
}

/** The turn that makes a face's eyes level. */
export function levelling(points: Points): Matrix {
  const [left, right] = [mean(part(points, LEFT_EYE)), mean(part(points, RIGHT_EYE))];
  return rotation(-Math.atan2(right[1] - left[1], right[0] - left[0]), mean(points));
}

/** Gap between the inner lips over their width: about 0 when shut, above 0.3 when open. */
export function mouthOpenness(points: Points): number {
  const gap = (distance(points, 61, 67) + distance(points, 62, 66) + distance(points, 63, 65)) / 3;
  return gap / Math.max(distance(points, 60, 64), 1e-6);
}

/** The box around a face after a turn. */
export function turnedBox(turn: Matrix, points: Points): Box {
  return boundingBox(apply(turn, points));
}

function distance(points: Points, a: number, b: number): number {
  return Math.hypot(points[2 * a]! - points[2 * b]!, points[2 * a + 1]! - points[2 * b + 1]!);
}
