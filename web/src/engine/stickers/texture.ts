/** Sticker images as mipmaps, to be drawn at any size. */
import { UserError } from "../errors";
import { type Box, type Matrix, clamp } from "../geometry";
import { type Canvas, contextOf, createCanvas } from "../image";
import type { Pixels } from "../warp";

/** Maximum side length of an image in pixels; a larger one would cost memory without visible benefit. */
const MAX_SIDE = 4096;

/** Width in pixels of the transparent border around every level, into which interpolation extends. */
const BORDER = 1;

/** One level of a mipmap. */
interface Level {
  /** Premultiplied RGBA, without the border. */
  readonly pixels: Pixels;
  /** The same with a transparent border of one pixel, for drawing. */
  readonly canvas: Canvas;
  /** Matrix from pixels of this level to those of the original image. */
  readonly matrix: Matrix;
}

/**
 * Mipmap of an image, cropped to its visible part, with half the size at each level.
 *
 * The levels avoid aliasing when an image is scaled down: every level is the average of 2x2 pixels of the previous one,
 * and drawing uses the level nearest to the target size. They are computed on first use.
 */
export class Texture {
  /** The visible part, in pixels of the original image; null if no part is visible. */
  readonly box: Box | null;
  readonly width: number;
  readonly height: number;
  private readonly averages: Pixels[] = [];
  private readonly levels = new Map<number, Level>();

  /** @param image - RGBA with straight (not premultiplied) alpha. */
  constructor(image: Pixels) {
    this.width = image.width;
    this.height = image.height;
    this.box = visibleBox(image);
    if (this.box) this.averages.push(premultiplied(image, this.box));
  }

  /** Return the level to draw from when a pixel of the image becomes `scale` pixels; the texture must not be empty. */
  level(scale: number): Level {
    const [left, top] = this.box!;
    const { width, height } = this.averages[0]!;
    const deepest = Math.floor(Math.log2(Math.max(Math.min(width, height), 1)));
    const index = clamp(Math.round(-Math.log2(Math.max(scale, 1e-6))), 0, deepest);
    while (this.averages.length <= index) this.averages.push(halved(this.averages.at(-1)!));
    let level = this.levels.get(index);
    if (!level) {
      const pixels = this.averages[index]!;
      const step = 2 ** index;
      const shift = (step - 1) / 2; // the centre of the first pixel of this level
      level = { pixels, canvas: drawable(pixels), matrix: [step, 0, shift + left, 0, step, shift + top] };
      this.levels.set(index, level);
    }
    return level;
  }
}

/** Draw a level, transformed by a matrix from its pixels to those of the target. */
export function drawLevel(context: CanvasDrawImage & CanvasTransform, level: Level, matrix: Matrix): void {
  const [a, b, c, d, e, f] = matrix;
  // The origin of a canvas is the corner of the first pixel, that of our matrices its centre.
  context.transform(a, d, b, e, c + 0.5 - (a + b) / 2, f + 0.5 - (d + e) / 2);
  context.drawImage(level.canvas, -BORDER, -BORDER);
}

/**
 * Decode a PNG with transparency.
 *
 * @param bytes - Content of the file.
 * @param file - Name of the file in messages.
 */
export async function decodePng(bytes: Uint8Array<ArrayBuffer>, file: string): Promise<Pixels> {
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 33 || header.getUint32(0) !== 0x89504e47 || header.getUint32(4) !== 0x0d0a1a0a) {
    throw new UserError("png.not", { file });
  }
  // The size is read from the header, so that an image that would fill the memory is never decoded.
  const [width, height] = [header.getUint32(16), header.getUint32(20)];
  if (Math.max(width, height) > MAX_SIDE) throw new UserError("png.large", { file, width, height, max: MAX_SIDE });
  if (!hasAlpha(bytes, header)) throw new UserError("png.opaque", { file });
  let bitmap: ImageBitmap;
  try {
    const blob = new Blob([bytes], { type: "image/png" });
    bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  } catch {
    throw new UserError("png.damaged", { file });
  }
  const context = contextOf(createCanvas(width, height), true);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/** Return whether a PNG has an alpha channel or, unless it is grey, a transparent colour. */
function hasAlpha(bytes: Uint8Array, header: DataView): boolean {
  const colours = bytes[25]!;
  if (colours & 4) return true;
  if (colours === 0) return false;
  for (let at = 8; at + 12 <= bytes.length; at += 12 + header.getUint32(at)) {
    const type = header.getUint32(at + 4);
    if (type === 0x74524e53) return true; // tRNS
    if (type === 0x49444154) return false; // IDAT: tRNS would come before it
  }
  return false;
}

function visibleBox({ data, width, height }: Pixels): Box | null {
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  for (let y = 0, at = 3; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      if (!data[at]) continue;
      if (x < x0) x0 = x;
      if (x >= x1) x1 = x + 1;
      if (y < y0) y0 = y;
      y1 = y + 1;
    }
  }
  return x1 > x0 ? [x0, y0, x1, y1] : null;
}

/** Return a part of an image, with its colours multiplied by its alpha. */
function premultiplied(image: Pixels, [x0, y0, x1, y1]: Box): Pixels {
  const [width, height] = [x1 - x0, y1 - y0];
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, from = 4 * ((y + y0) * image.width + x0); x < width; x++, from += 4, to += 4) {
      const alpha = image.data[from + 3]!;
      for (let channel = 0; channel < 3; channel++) {
        data[to + channel] = (image.data[from + channel]! * alpha) / 255;
      }
      data[to + 3] = alpha;
    }
  }
  return { data, width, height };
}

/** Return an image of half the size; an odd last row or column is averaged with transparent pixels. */
function halved({ data, width, height }: Pixels): Pixels {
  const w = Math.ceil(width / 2);
  const h = Math.ceil(height / 2);
  const sums = new Float32Array(4 * w * h);
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0; x < width; x++, from += 4) {
      const to = 4 * ((y >> 1) * w + (x >> 1));
      for (let channel = 0; channel < 4; channel++) sums[to + channel]! += data[from + channel]!;
    }
  }
  return { data: Uint8ClampedArray.from(sums, (sum) => sum / 4), width: w, height: h };
}

/** Return a canvas of premultiplied pixels, with the border. */
function drawable(pixels: Pixels): Canvas {
  const canvas = createCanvas(pixels.width + 2 * BORDER, pixels.height + 2 * BORDER);
  const context = contextOf(canvas);
  context.putImageData(straight(pixels), BORDER, BORDER);
  return canvas;
}

/** Convert premultiplied pixels to straight alpha, as a canvas expects them. */
export function straight({ data, width, height }: Pixels): ImageData {
  const image = new ImageData(width, height);
  for (let at = 0; at < data.length; at += 4) {
    const alpha = data[at + 3]!;
    if (!alpha) continue;
    const factor = 255 / alpha;
    image.data[at] = data[at]! * factor;
    image.data[at + 1] = data[at + 1]! * factor;
    image.data[at + 2] = data[at + 2]! * factor;
    image.data[at + 3] = alpha;
  }
  return image;
}
