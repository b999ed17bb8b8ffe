/**
 * 2x3 matrices: build, compose, invert, apply to points.
 *
 * A matrix maps (x, y, 1) of the source to (x, y) of the target, pixels to pixels; the centre of the top left pixel
 * is (0, 0).
 */

/** [a, b, c, d, e, f]: x' = a x + b y + c, y' = d x + e y + f. */
export type Matrix = readonly [number, number, number, number, number, number];

/** x0, y0, x1, y1. */
export type Box = readonly [number, number, number, number];

/** x and y of a place. */
export type Point = readonly [number, number];

/** Points one after the other: x, y, x, y, ... */
export type Points = Float32Array | Float64Array;

/** Shifts by (dx, dy) pixels. */
export function translation(dx: number, dy: number): Matrix {
  return [1, 0, dx, 0, 1, dy];
}

/** Scales about the origin. */
export function scaling(sx: number, sy = sx): Matrix {
  return [sx, 0, 0, 0, sy, 0];
}

/** Turns by an angle in radians about a centre; positive is clockwise on the screen (y points down). */
export function rotation(angle: number, centre: Point = [0, 0]): Matrix {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const turn: Matrix = [cos, -sin, 0, sin, cos, 0];
  return compose(translation(-centre[0], -centre[1]), turn, translation(...centre));
}

/** Resizes an image from one width and height to another, edges on edges. */
export function resizing(width: number, height: number, toWidth: number, toHeight: number): Matrix {
  return compose(translation(0.5, 0.5), scaling(toWidth / width, toHeight / height), translation(-0.5, -0.5));
}

/** One matrix that does what `matrices` do one after the other, the first one first. */
export function compose(...matrices: readonly Matrix[]): Matrix {
  return matrices.reduce(([a, b, c, d, e, f], [g, h, i, j, k, l]) => [
    g * a + h * d,
    g * b + h * e,
    g * c + h * f + i,
    j * a + k * d,
    j * b + k * e,
    j * c + k * f + l,
  ]);
}

/** How much an area grows; negative if the matrix mirrors. */
export function determinant([a, b, , d, e]: Matrix): number {
  return a * e - b * d;
}

/** The matrix that undoes another one. */
export function invert(matrix: Matrix): Matrix {
  const [a, b, c, d, e, f] = matrix;
  const det = determinant(matrix);
  return [e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det];
}

/** Move points into a new array of the same type. */
export function apply<T extends Points>([a, b, c, d, e, f]: Matrix, points: T): T {
  const moved = points.slice() as T;
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [points[i]!, points[i + 1]!];
    moved[i] = a * x + b * y + c;
    moved[i + 1] = d * x + e * y + f;
  }
  return moved;
}

/** The smaller of the two scales of a matrix: its smallest singular value. */
export function smallestScale(matrix: Matrix): number {
  const [a, b, , d, e] = matrix;
  const half = (a * a + b * b + d * d + e * e) / 2;
  const det = determinant(matrix);
  const largest = half + Math.sqrt(Math.max(half * half - det * det, 0));
  return largest > 0 ? Math.abs(det) / Math.sqrt(largest) : 0;
}

/** The mean of points. */
export function mean(points: Points): Point {
  let [x, y] = [0, 0];
  for (let i = 0; i < points.length; i += 2) {
    x += points[i]!;
    y += points[i + 1]!;
  }
  return [(2 * x) / points.length, (2 * y) / points.length];
}

/**
 * The turn, scale and shift (no mirroring) that carries points onto points: exact for two pairs, least squares for
 * more. Null if all source points coincide.
 */
export function similarity(source: Points, target: Points): Matrix | null {
  const [sx, sy] = mean(source);
  const [tx, ty] = mean(target);
  let [real, imaginary, norm] = [0, 0, 0];
  for (let i = 0; i < source.length; i += 2) {
    const [x, y] = [source[i]! - sx, source[i + 1]! - sy];
    const [u, v] = [target[i]! - tx, target[i + 1]! - ty];
    real += x * u + y * v;
    imaginary += x * v - y * u;
    norm += x * x + y * y;
  }
  if (norm === 0) return null;
  const [a, b] = [real / norm, imaginary / norm];
  return [a, -b, tx - a * sx + b * sy, b, a, ty - b * sx - a * sy];
}

/**
 * The affine map that carries points onto points: exact for three pairs, least squares for more. Null if the source
 * points lie on one line.
 */
export function affine(source: Points, target: Points): Matrix | null {
  const [sx, sy] = mean(source);
  const [tx, ty] = mean(target);
  let [xx, xy, yy, xu, yu, xv, yv] = [0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < source.length; i += 2) {
    const [x, y] = [source[i]! - sx, source[i + 1]! - sy];
    const [u, v] = [target[i]! - tx, target[i + 1]! - ty];
    xx += x * x;
    xy += x * y;
    yy += y * y;
    xu += x * u;
    yu += y * u;
    xv += x * v;
    yv += y * v;
  }
  const det = xx * yy - xy * xy;
  if (!(det > 1e-12 * (xx + yy) ** 2)) return null;
  const [a, b] = [(xu * yy - yu * xy) / det, (yu * xx - xu * xy) / det];
  const [d, e] = [(xv * yy - yv * xy) / det, (yv * xx - xv * xy) / det];
  return [a, b, tx - a * sx - b * sy, d, e, ty - d * sx - e * sy];
}

/** The box around points. */
export function boundingBox(points: Points): Box {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    x0 = Math.min(x0, points[i]!);
    x1 = Math.max(x1, points[i]!);
    y0 = Math.min(y0, points[i + 1]!);
    y1 = Math.max(y1, points[i + 1]!);
  }
  return [x0, y0, x1, y1];
}

/** `value`, but no less than `low` and no more than `high`. */
export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
