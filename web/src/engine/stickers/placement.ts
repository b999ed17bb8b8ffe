/** Placement of stickers on a face: warps from sticker pixels to photo pixels, fitted to pairs of anchors. */
import {
  type Box,
  type Matrix,
  type Point,
  type Points,
  affine,
  apply,
  boundingBox,
  compose,
  determinant,
  invert,
  similarity,
  smallestScale,
} from "../geometry";
import type { Context } from "../image";
import type { Pixels } from "../warp";
import type { Fit } from "./manifest";
import { Mesh } from "./mesh";
import { drawPatch, meet, sample } from "./patch";
import { type Spline, createSpline } from "./spline";
import { type Texture, drawLevel } from "./texture";

/** Warp of an image onto a face. */
export interface Placement {
  /** Map a point from the image to the photo; a mesh has no single map for all points. */
  carry?(place: Point): Point;
  /** Draw an image, which must not be empty, in pixels of the context's current transform. */
  draw(context: Context, texture: Texture): void;
}

/** Error: the sticker's own anchors coincide or are collinear. */
export class Degenerate extends Error {}

/**
 * Fit a warp that maps anchors of a sticker to places of a face.
 *
 * @param kind - Type of the warp; with "face", the points are those of `meshPoints`.
 * @param source - Anchors in pixels of the sticker.
 * @param target - Places in pixels of the photo, finite.
 * @returns The placement; null if the face is too small or too foreshortened to draw on.
 */
export function fit(kind: Fit, source: Points, target: Points): Placement | null {
  const matrix = (kind === "similarity" ? similarity : affine)(source, target);
  if (!matrix) throw new Degenerate();
  if (!(smallestScale(matrix) >= 1e-3)) return null;
  if (kind === "face") return new Mesh(source, target);
  return kind === "mesh" ? bend(matrix, source, target) : flat(matrix);
}

/** Return the placement by a matrix from pixels of the sticker to pixels of the photo. */
function flat(matrix: Matrix): Placement {
  const scale = Math.sqrt(Math.abs(determinant(matrix)));
  return {
    carry: (place) => apply(matrix, Float64Array.from(place)) as unknown as Point,
    draw(context, texture) {
      const level = texture.level(scale);
      const whole = compose(level.matrix, matrix);
      if (Math.abs(determinant(whole)) < 1e-6) return;
      context.imageSmoothingEnabled = true;
      // When enlarging, linear interpolation makes the pixel grid visible; cubic does not.
      context.imageSmoothingQuality = scale > 1.5 ? "high" : "low";
      drawLevel(context, level, whole);
    },
  };
}

/** Number of grid points along the longer side of an inverse spline map, and their minimum distance in pixels. */
const [KNOTS, MIN_STEP] = [20, 4];

/** Number of points along each side of the sticker that are mapped to find the area of the warped image. */
const PROBES = 9;

function bend(matrix: Matrix, source: Points, target: Points): Placement | null {
  const [forth, back] = [createSpline(source, target), createSpline(target, source)];
  if (!forth || !back) return null;
  const scale = Math.sqrt(Math.abs(determinant(matrix)));
  return {
    carry: ([x, y]) => forth(x, y),
    draw(context, texture) {
      const mapped = probes(forth, texture.box!);
      const box = meet(mapped, context.canvas.width, context.canvas.height);
      if (!box) return;
      const [left, top, right, bottom] = boundingBox(mapped);
      const step = Math.max(Math.ceil(Math.max(right - left, bottom - top) / KNOTS), MIN_STEP);
      // The knots are the same for every visible part of the sticker.
      const knot = (start: number, from: number) => start + Math.floor((from - start) / step) * step;
      const first: Point = [knot(Math.floor(left), box[0]), knot(Math.floor(top), box[1])];
      const level = texture.level(scale);
      drawPatch(context, remap(level.pixels, invert(level.matrix), back, box, first, step), box[0], box[1]);
    },
  };
}

/** Map a grid of points over a box of pixels, with the pixel before it, into which interpolation extends. */
function probes(forth: Spline, [left, top, x1, y1]: Box): Float64Array {
  const [x0, y0] = [left - 1, top - 1];
  const places: number[] = [];
  for (let row = 0; row < PROBES; row++) {
    for (let column = 0; column < PROBES; column++) {
      const [u, v] = [column / (PROBES - 1), row / (PROBES - 1)];
      places.push(...forth(x0 + u * (x1 - x0), y0 + v * (y1 - y0)));
    }
  }
  return Float64Array.from(places);
}

/**
 * Resample a level by the inverse spline; return the premultiplied pixels of the photo's `box`.
 *
 * The spline is only evaluated at knots, `step` pixels apart from `first` on.
 */
function remap(level: Pixels, toLevel: Matrix, back: Spline, box: Box, first: Point, step: number): Pixels {
  const [x0, y0, x1, y1] = box;
  const [width, height] = [x1 - x0, y1 - y0];
  const out = new Uint8ClampedArray(4 * width * height);
  const columns = Math.floor((x1 - 1 - first[0]) / step) + 2;
  const knots = (row: number): Float64Array => {
    const places = new Float64Array(2 * columns);
    for (let column = 0; column < columns; column++) {
      places.set(back(first[0] + step * column, first[1] + step * row), 2 * column);
    }
    return apply(toLevel, places);
  };
  let [above, below] = [knots(0), knots(1)];
  for (let y = 0; y < height; y++) {
    const down = y + y0 - first[1];
    const low = (down % step) / step;
    if (y && down % step === 0) [above, below] = [below, knots(down / step + 1)];
    for (let x = 0; x < width; x++) {
      const over = x + x0 - first[0];
      const column = 2 * Math.floor(over / step);
      const right = (over % step) / step;
      const a = (1 - right) * (1 - low);
      const b = right * (1 - low);
      const c = (1 - right) * low;
      const d = right * low;
      const u = a * above[column]! + b * above[column + 2]! + c * below[column]! + d * below[column + 2]!;
      const v = a * above[column + 1]! + b * above[column + 3]! + c * below[column + 1]! + d * below[column + 3]!;
      sample(level, u, v, out, 4 * (y * width + x));
    }
  }
  return { data: out, width, height };
}
