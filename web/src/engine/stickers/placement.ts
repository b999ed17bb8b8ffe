/** Where a sticker lies on a face, and how it is drawn there. */
import {
  type Box,
  type Matrix,
  type Point,
  type Points,
  affine,
  apply,
  boundingBox,
  clamp,
  compose,
  determinant,
  invert,
  similarity,
  smallestScale,
} from "../geometry";
import { type Canvas, type Context, contextOf, createCanvas } from "../image";
import type { Pixels } from "../warp";
import type { Fit } from "./manifest";
import { type Spline, createSpline } from "./spline";
import { type Texture, drawLevel, straight } from "./texture";

/** A way of a picture to a face. */
export interface Placement {
  /** Carry a place of the picture to the photo. */
  carry(place: Point): Point;
  /** Draw a picture that is not empty, in pixels of the context's current transform. */
  draw(context: Context, texture: Texture): void;
}

/** Anchors of the sticker coincide or lie on one line: no face can mend that. */
export class Degenerate extends Error {}

/**
 * Tie anchors of a sticker to places of a face.
 *
 * @param kind - How far the picture gives way.
 * @param source - In pixels of the sticker.
 * @param target - In pixels of the photo, finite.
 * @returns The placement; null if the face is so small or so squeezed that there is nothing to draw.
 */
export function fit(kind: Fit, source: Points, target: Points): Placement | null {
  const matrix = (kind === "similarity" ? similarity : affine)(source, target);
  if (!matrix) throw new Degenerate();
  if (!(smallestScale(matrix) >= 1e-3)) return null;
  return kind === "mesh" ? bend(matrix, source, target) : flat(matrix);
}

/** A matrix from pixels of the sticker to pixels of the photo. */
function flat(matrix: Matrix): Placement {
  const scale = Math.sqrt(Math.abs(determinant(matrix)));
  return {
    carry: (place) => apply(matrix, Float64Array.from(place)) as unknown as Point,
    draw(context, texture) {
      const level = texture.level(scale);
      const whole = compose(level.matrix, matrix);
      if (Math.abs(determinant(whole)) < 1e-6) return;
      context.imageSmoothingEnabled = true;
      // Beyond its own size linear interpolation shows the pixels' grid; cubic does not.
      context.imageSmoothingQuality = scale > 1.5 ? "high" : "low";
      drawLevel(context, level, whole);
    },
  };
}

/** The bent map is computed at every so many pixels and interpolated between. */
const GRID = 8;

/** Places of the sticker that are carried along each side to see what the bent picture covers. */
const PROBES = 9;

function bend(matrix: Matrix, source: Points, target: Points): Placement | null {
  const [forth, back] = [createSpline(source, target), createSpline(target, source)];
  if (!forth || !back) return null;
  const scale = Math.sqrt(Math.abs(determinant(matrix)));
  return {
    carry: ([x, y]) => forth(x, y),
    draw(context, texture) {
      const { width, height } = context.canvas;
      const box = covered(forth, texture.box!, width, height);
      if (!box) return;
      const level = texture.level(scale);
      const patch = remap(level.pixels, invert(level.matrix), back, box);
      const { width: w, height: h } = patch;
      context.imageSmoothingEnabled = false; // pixels on pixels
      context.drawImage(patchCanvas(straight(patch)), 0, 0, w, h, box[0], box[1], w, h);
    },
  };
}

/** Whole pixels of a canvas that a bent picture covers. */
function covered(forth: Spline, [x0, y0, x1, y1]: Box, width: number, height: number): Box | null {
  const places: number[] = [];
  for (let row = 0; row < PROBES; row++) {
    for (let column = 0; column < PROBES; column++) {
      const [u, v] = [column / (PROBES - 1), row / (PROBES - 1)];
      places.push(...forth(x0 + u * (x1 - x0), y0 + v * (y1 - y0)));
    }
  }
  const [left, top, right, bottom] = boundingBox(Float64Array.from(places));
  const box: Box = [
    clamp(Math.floor(left), 0, width),
    clamp(Math.floor(top), 0, height),
    clamp(Math.ceil(right) + 1, 0, width),
    clamp(Math.ceil(bottom) + 1, 0, height),
  ];
  return box[2] > box[0] && box[3] > box[1] ? box : null;
}

/** Premultiplied pixels of the photo's `box`, each from where the spline says in the level. */
function remap(level: Pixels, toLevel: Matrix, back: Spline, [x0, y0, x1, y1]: Box): Pixels {
  const [width, height] = [x1 - x0, y1 - y0];
  const out = new Uint8ClampedArray(4 * width * height);
  const columns = Math.floor((width - 1) / GRID) + 2;
  const knots = (row: number): Float64Array => {
    const places = new Float64Array(2 * columns);
    for (let column = 0; column < columns; column++) {
      places.set(back(x0 + GRID * column, y0 + GRID * row), 2 * column);
    }
    return apply(toLevel, places);
  };
  let [above, below] = [knots(0), knots(1)];
  for (let y = 0; y < height; y++) {
    const low = (y % GRID) / GRID;
    if (y && y % GRID === 0) [above, below] = [below, knots(y / GRID + 1)];
    for (let x = 0; x < width; x++) {
      const column = 2 * Math.floor(x / GRID);
      const right = (x % GRID) / GRID;
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

/** Write what lies at a place between four pixels; outside of the picture all is transparent. */
function sample({ data, width, height }: Pixels, u: number, v: number, out: Uint8ClampedArray, at: number): void {
  const left = Math.floor(u);
  const top = Math.floor(v);
  if (!(left >= -1 && top >= -1 && left < width && top < height)) return;
  const right = u - left;
  const low = v - top;
  const w00 = left >= 0 && top >= 0 ? (1 - right) * (1 - low) : 0;
  const w01 = left + 1 < width && top >= 0 ? right * (1 - low) : 0;
  const w10 = left >= 0 && top + 1 < height ? (1 - right) * low : 0;
  const w11 = left + 1 < width && top + 1 < height ? right * low : 0;
  const p = 4 * (top * width + left);
  const i00 = w00 ? p : 0;
  const i01 = w01 ? p + 4 : 0;
  const i10 = w10 ? p + 4 * width : 0;
  const i11 = w11 ? p + 4 * width + 4 : 0;
  for (let channel = 0; channel < 4; channel++) {
    out[at + channel] =
      w00 * data[i00 + channel]! + w01 * data[i01 + channel]! + w10 * data[i10 + channel]! + w11 * data[i11 + channel]!;
  }
}

let patches: Context | undefined;

/** A canvas that shows a patch in its top left corner; it grows as needed and is used again. */
function patchCanvas(patch: ImageData): Canvas {
  patches ??= contextOf(createCanvas(patch.width, patch.height), true);
  const { canvas } = patches;
  if (canvas.width < patch.width || canvas.height < patch.height) {
    const [width, height] = [Math.max(canvas.width, patch.width), Math.max(canvas.height, patch.height)];
    Object.assign(canvas, { width, height });
  }
  patches.putImageData(patch, 0, 0);
  return canvas;
}
