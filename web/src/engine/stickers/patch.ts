/** Patches: images that are computed pixel by pixel before they are drawn. */
import { type Box, type Points, boundingBox, clamp } from "../geometry";
import { type Canvas, type Context, contextOf, createCanvas } from "../image";
import type { Pixels } from "../warp";
import { straight } from "./texture";

/** Return the bounding box of points in whole pixels, with a margin, clipped to a canvas; null if it is empty. */
export function meet(points: Points, width: number, height: number, margin = 0): Box | null {
  const [left, top, right, bottom] = boundingBox(points);
  const box: Box = [
    clamp(Math.floor(left - margin), 0, width),
    clamp(Math.floor(top - margin), 0, height),
    clamp(Math.ceil(right + margin) + 1, 0, width),
    clamp(Math.ceil(bottom + margin) + 1, 0, height),
  ];
  return box[2] > box[0] && box[3] > box[1] ? box : null;
}

/** Write the bilinear interpolation at a position between four pixels; outside the image, pixels are transparent. */
export function sample(
  { data, width, height }: Pixels,
  u: number,
  v: number,
  out: Uint8ClampedArray,
  at: number,
): void {
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

/** Draw premultiplied pixels unscaled, with the first one at (x, y). */
export function drawPatch(context: Context, patch: Pixels, x: number, y: number): void {
  const { width, height } = patch;
  context.imageSmoothingEnabled = false;
  context.drawImage(patchCanvas(straight(patch)), 0, 0, width, height, x, y, width, height);
}

let patches: Context | undefined;

/** Return a canvas with a patch in its top left corner; it grows as needed and is reused. */
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

/** Trace a polygon as the next path of a context, whose origin is the corner of its first pixel. */
export function trace(context: Context, polygon: Points): void {
  context.beginPath();
  for (let i = 0; i < polygon.length; i += 2) context.lineTo(polygon[i]! + 0.5, polygon[i + 1]! + 0.5);
  context.closePath();
}
