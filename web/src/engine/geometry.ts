/**
 * Affine transforms as 2x3 matrices: build, compose, invert, apply to points.
 *
 * A matrix maps (x, y, 1) of the source to (x, y) of the target, pixels to pixels; the centre of the top left pixel
 * is (0, 0).
 */

/** [a, b, c, d, e, f]: x' = a x + b y + c, y' = d x + e y + f. */
export type Matrix = readonly [number, number, number, number, number, number];

/** x0, y0, x1, y1. */
export type Box = readonly [number, number, number, number];

/** x and y. */
export type Point = readonly [number, number];

/** Coordinates of points: x, y, x, y, ... */
export type Points = Float32Array | Float64Array;

/** Return the matrix of a translation by (dx, dy) pixels. */
export function translation(dx: number, dy: number): Matrix {
  return [1, 0, dx, 0, 1, dy];
}

/** Return the matrix of a scaling about the origin. */
export function scaling(sx: number, sy = sx): Matrix {
  return [sx, 0, 0, 0, sy, 0];
}

/** Return the matrix of a rotation in radians about a centre; positive is clockwise on the screen (y points down). */
export function rotation(angle: number, centre: Point = [0, 0]): Matrix {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const aboutOrigin: Matrix = [cos, -sin, 0, sin, cos, 0];
  return compose(translation(-centre[0], -centre[1]), aboutOrigin, translation(...centre));
}

/** Return the matrix that resizes an image from one width and height to another, with its edges aligned. */
export function resizing(width: number, height: number, toWidth: number, toHeight: number): Matrix {
  return compose(translation(0.5, 0.5), scaling(toWidth / width, toHeight / height), translation(-0.5, -0.5));
}

/** Return the product of `matrices`, which are applied from first to last. */
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

/** Return the factor by which areas grow; negative if the matrix mirrors. */
export function determinant([a, b, , d, e]: Matrix): number {
  return a * e - b * d;
}

/** Return the inverse of a matrix. */
export function invert(matrix: Matrix): Matrix {
  const [a, b, c, d, e, f] = matrix;
  const det = determinant(matrix);
  return [e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det];
}

/** Transform points, into a new array of the same type. */
export function apply<T extends Points>([a, b, c, d, e, f]: Matrix, points: T): T {
  const transformed = points.slice() as T;
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [points[i]!, points[i + 1]!];
    transformed[i] = a * x + b * y + c;
    transformed[i + 1] = d * x + e * y + f;
  }
  return transformed;
}

/** Return the smaller of the two scales of a matrix: its smallest singular value. */
export function smallestScale(matrix: Matrix): number {
  const [a, b, , d, e] = matrix;
  const half = (a * a + b * b + d * d + e * e) / 2;
  const det = determinant(matrix);
  const largest = half + Math.sqrt(Math.max(half * half - det * det, 0));
  return largest > 0 ? Math.abs(det) / Math.sqrt(largest) : 0;
}

/** Return the mean of points. */
export function mean(points: Points): Point {
  let [x, y] = [0, 0];
  for (let i = 0; i < points.length; i += 2) {
    x += points[i]!;
    y += points[i + 1]!;
  }
  return [(2 * x) / points.length, (2 * y) / points.length];
}

/**
 * Return the rotation, scaling and translation (no reflection) from points to points: exact for two pairs, least
 * squares for more. Null if all source points coincide.
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
 * Return the affine transform from points to points: exact for three pairs, least squares for more. Null if the source
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

/** Return the bounding box of points. */
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

/** Return `value`, limited to the range from `low` to `high`. */
export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
