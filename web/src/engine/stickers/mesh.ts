/** Piecewise affine warp of an image of a whole face onto another, by the triangles between all their points. */
import {
  type Box,
  type Matrix,
  type Point,
  type Points,
  affine,
  boundingBox,
  clamp,
  compose,
  determinant,
  invert,
} from "../geometry";
import type { Context } from "../image";
import { faceOutline } from "../landmarks";
import type { Pose } from "../pose";
import { drawPatch, meet, sample } from "./patch";
import type { Texture } from "./texture";

/** Width of the soft edge, as a fraction of the face width. */
const SOFT = 0.04;

/** Lengths of a horizontal or vertical and of a diagonal step in the distance transform. */
const [STRAIGHT, DIAGONAL] = [0.955, 1.3693];

/** Delaunay triangles of the mean face without the open mouth: three indices into `meshPoints` each. */
// prettier-ignore
export const TRIANGLES = Uint8Array.of(
  27, 39, 21, 39, 27, 28, 31, 2, 41, 2, 31, 3, 1, 0, 36, 29, 30, 31, 30, 29, 35, 2, 1, 41, 49, 67, 59, 67, 49, 61,
  4, 3, 48, 35, 13, 54, 13, 35, 14, 5, 4, 48, 41, 1, 36, 6, 5, 59, 29, 31, 40, 7, 6, 58, 8, 7, 58, 9, 8, 56, 10, 9, 56,
  38, 40, 37, 40, 38, 39, 11, 10, 55, 29, 40, 39, 12, 11, 54, 19, 37, 18, 37, 19, 20, 13, 12, 54, 18, 36, 17,
  36, 18, 37, 15, 14, 46, 36, 0, 17, 16, 15, 45, 23, 73, 24, 73, 23, 74, 80, 18, 81, 18, 80, 19, 35, 29, 47, 17, 0, 83,
  79, 19, 80, 19, 79, 78, 42, 29, 28, 29, 42, 47, 18, 17, 81, 21, 75, 22, 75, 21, 76, 46, 44, 45, 44, 46, 47,
  24, 72, 71, 72, 24, 73, 21, 22, 27, 20, 19, 78, 20, 21, 38, 21, 20, 77, 42, 27, 22, 27, 42, 28, 42, 22, 43,
  74, 23, 22, 43, 23, 44, 23, 43, 22, 24, 71, 25, 44, 25, 45, 25, 44, 24, 23, 24, 44, 70, 25, 71, 25, 70, 26,
  46, 14, 35, 16, 26, 68, 26, 16, 45, 25, 26, 45, 26, 69, 68, 69, 26, 70, 30, 35, 34, 11, 55, 54, 28, 29, 39,
  63, 53, 65, 53, 63, 52, 59, 5, 48, 51, 33, 52, 33, 51, 50, 8, 58, 57, 49, 32, 50, 32, 49, 31, 31, 30, 32, 48, 3, 31,
  56, 8, 57, 32, 30, 33, 34, 52, 33, 52, 34, 53, 32, 33, 50, 33, 30, 34, 35, 54, 53, 34, 35, 53, 15, 46, 45,
  37, 40, 41, 31, 41, 40, 36, 37, 41, 37, 20, 38, 38, 21, 39, 44, 47, 43, 42, 43, 47, 46, 35, 47, 48, 31, 49,
  48, 49, 60, 49, 50, 61, 50, 51, 61, 65, 55, 56, 55, 65, 53, 51, 52, 63, 54, 55, 64, 53, 54, 64, 55, 53, 64,
  55, 10, 56, 51, 63, 62, 56, 57, 66, 49, 59, 60, 57, 58, 66, 58, 6, 59, 59, 48, 60, 58, 59, 67, 61, 51, 62,
  56, 66, 65, 66, 58, 67, 74, 22, 75, 76, 21, 77, 77, 20, 78, 81, 17, 82, 82, 17, 83,
);

/** Return the 68 points and 16 around the forehead. */
export function meshPoints(points: Points, pose?: Pose): Float64Array {
  return Float64Array.from([...points, ...faceOutline(points, pose).subarray(34)]);
}

/** Warp that is affine in every triangle; triangles that face away from the viewer are not drawn. */
export class Mesh {
  private readonly corners: (readonly [Point, Point, Point])[] = [];
  private readonly back: Matrix[] = [];
  private readonly scale: number;

  /**
   * @param source - `meshPoints` in pixels of the sticker.
   * @param target - The same points in pixels of the photo.
   */
  constructor(
    source: Points,
    private readonly target: Points,
  ) {
    this.scale = Math.sqrt(Math.abs(determinant(affine(source, target)!)));
    const corner = (points: Points, i: number): Point => [points[2 * i]!, points[2 * i + 1]!];
    for (let i = 0; i < TRIANGLES.length; i += 3) {
      const [a, b, c] = [TRIANGLES[i]!, TRIANGLES[i + 1]!, TRIANGLES[i + 2]!];
      const sourceSides = sides(corner(source, a), corner(source, b), corner(source, c));
      const targetSides = sides(corner(target, a), corner(target, b), corner(target, c));
      if (!(determinant(sourceSides) * determinant(targetSides) > 1e-9)) continue;
      this.back.push(compose(invert(targetSides), sourceSides));
      this.corners.push([corner(target, a), corner(target, b), corner(target, c)]);
    }
  }

  /** Draw an image, which must not be empty. */
  draw(context: Context, texture: Texture): void {
    const box = meet(this.target, context.canvas.width, context.canvas.height);
    if (!box || !this.corners.length) return;
    const [x0, y0, x1, y1] = box;
    const [width, height] = [x1 - x0, y1 - y0];
    // Only the edge of the triangles is soft, not that of the canvas: rasterise them with a margin around it.
    const soft = this.softWidth();
    const [left, top, right, bottom] = boundingBox(this.target);
    const around: Box = [
      clamp(Math.floor(left), x0 - soft, x0),
      clamp(Math.floor(top), y0 - soft, y0),
      clamp(Math.ceil(right) + 1, x1, x1 + soft),
      clamp(Math.ceil(bottom) + 1, y1, y1 + soft),
    ];
    const row = around[2] - around[0];
    const owner = this.owners(around);
    const depth = softEdge(owner, row, soft);
    const level = texture.level(this.scale);
    const toLevel = invert(level.matrix);
    const back = this.back.map((matrix) => compose(matrix, toLevel));
    const data = new Uint8ClampedArray(4 * width * height);
    for (let y = y0, to = 0; y < y1; y++) {
      for (let x = x0; x < x1; x++, to += 4) {
        const i = (y - around[1]) * row + x - around[0];
        if (!owner[i]) continue;
        const [a, b, c, d, e, f] = back[owner[i] - 1]!;
        sample(level.pixels, a * x + b * y + c, d * x + e * y + f, data, to);
        for (let at = to; depth[i]! < 1 && at < to + 4; at++) data[at]! *= depth[i]!;
      }
    }
    drawPatch(context, { data, width, height }, x0, y0);
  }

  /** Return for every pixel of a box the number of its triangle, edges included, from 1 on; 0 for none. */
  private owners([x0, y0, x1, y1]: Box): Uint8Array {
    const width = x1 - x0;
    const owner = new Uint8Array(width * (y1 - y0));
    this.corners.forEach((corners, index) => {
      const ys = corners.map(([, y]) => y);
      const [low, high] = [Math.min(...ys), Math.max(...ys)];
      for (let y = Math.max(Math.round(low), y0); y <= Math.min(Math.round(high), y1 - 1); y++) {
        const [left, right] = span(corners, clamp(y, low, high));
        const from = Math.max(Math.round(left), x0);
        const to = Math.min(Math.round(right), x1 - 1);
        if (from <= to) owner.fill(index + 1, (y - y0) * width + from - x0, (y - y0) * width + to - x0 + 1);
      }
      // Rows miss pixels that a flat edge touches between them: a closed mouth would show a gap.
      corners.forEach(([ax, ay], i) => {
        const [bx, by] = corners[(i + 1) % 3]!;
        if (Math.abs(bx - ax) <= Math.abs(by - ay)) return;
        const [left, right] = [Math.min(ax, bx), Math.max(ax, bx)];
        for (let x = Math.max(Math.round(left), x0); x <= Math.min(Math.round(right), x1 - 1); x++) {
          const y = Math.round(ay + ((clamp(x, left, right) - ax) / (bx - ax)) * (by - ay));
          if (y >= y0 && y < y1) owner[(y - y0) * width + x - x0] = index + 1;
        }
      });
    });
    return owner;
  }

  /** Return the width of the soft edge in pixels. */
  private softWidth(): number {
    let [left, right] = [Infinity, -Infinity];
    for (let i = 0; i < 34; i += 2) {
      left = Math.min(left, this.target[i]!);
      right = Math.max(right, this.target[i]!);
    }
    return Math.max(Math.floor(SOFT * (right - left)), 1);
  }
}

/** Return a mask, 1 inside and falling to 0 at the edge of the triangles, by a distance transform (Borgefors, 1986). */
function softEdge(owner: Uint8Array, width: number, soft: number): Float32Array {
  const height = owner.length / width;
  const row = width + 2; // with a border of one pixel outside the triangles
  const depth = new Float32Array(row * (height + 2));
  const relax = (at: number, step: number) => {
    const beside = Math.min(depth[at + step]!, depth[at + step * row]!) + STRAIGHT;
    const across = Math.min(depth[at + step * (row - 1)]!, depth[at + step * (row + 1)]!) + DIAGONAL;
    return Math.min(beside, across);
  };
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const at = (y + 1) * row + x + 1;
      if (owner[i]) depth[at] = relax(at, -1);
    }
  }
  const shares = new Float32Array(width * height);
  for (let y = height - 1, i = shares.length - 1; y >= 0; y--) {
    for (let x = width - 1; x >= 0; x--, i--) {
      const at = (y + 1) * row + x + 1;
      if (owner[i]) depth[at] = Math.min(depth[at]!, relax(at, 1));
      shares[i] = Math.min(depth[at]! / soft, 1);
    }
  }
  return shares;
}

/** Return the matrix from coordinates along two sides of a triangle to pixels. */
function sides(a: Point, b: Point, c: Point): Matrix {
  return [b[0] - a[0], c[0] - a[0], a[0], b[1] - a[1], c[1] - a[1], a[1]];
}

/** Return the left and right end of a triangle at a height within it. */
function span(corners: readonly [Point, Point, Point], y: number): [number, number] {
  let [left, right] = [Infinity, -Infinity];
  corners.forEach(([ax, ay], i) => {
    const [bx, by] = corners[(i + 1) % 3]!;
    if (Math.min(ay, by) > y || Math.max(ay, by) < y) return;
    const xs = ay === by ? [ax, bx] : [ax + ((y - ay) / (by - ay)) * (bx - ax)];
    left = Math.min(left, ...xs);
    right = Math.max(right, ...xs);
  });
  return [left, right];
}
