/** Resampling of images: warping by a matrix, and resizing. */
import {
  type Matrix,
  apply,
  boundingBox,
  clamp,
  compose,
  determinant,
  invert,
  resizing,
  translation,
} from "./geometry";

/** An RGBA image, 8 bits per channel, row by row; `ImageData` is one. */
export interface Pixels {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** A rectangle of an image, in whole pixels. */
interface Part {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Warp an image with a single bilinear resampling; pixels outside the source are black.
 *
 * If the matrix shrinks by a factor of two or more, the image is first averaged down by an integer factor, so that fine
 * detail does not alias.
 *
 * @param image - The source image.
 * @param matrix - Matrix from the source to the target.
 * @param width - Width of the target.
 * @param height - Height of the target.
 */
export function warp(image: Pixels, matrix: Matrix, width: number, height: number): Pixels {
  const shrink = Math.floor(1 / Math.max(Math.sqrt(Math.abs(determinant(matrix))), 1e-9) + 1e-6);
  if (shrink < 2) return warpBilinear(image, matrix, width, height);
  const part = partUnder(image, matrix, width, height, 2 * shrink);
  const smallWidth = Math.max(Math.floor(part.width / shrink), 1);
  const smallHeight = Math.max(Math.floor(part.height / shrink), 1);
  const back = invert(resizing(part.width, part.height, smallWidth, smallHeight));
  const small = resizeArea(image, smallWidth, smallHeight, part);
  return warpBilinear(small, compose(back, translation(part.left, part.top), matrix), width, height);
}

/**
 * Resize an image: by area averaging if it shrinks, by bilinear interpolation if it grows.
 *
 * @param image - The source image.
 * @param width - Width of the result.
 * @param height - Height of the result.
 */
export function resize(image: Pixels, width: number, height: number): Pixels {
  if (width === image.width && height === image.height) return image;
  if (Math.max(width, height) < Math.max(image.width, image.height)) {
    const whole = { left: 0, top: 0, width: image.width, height: image.height };
    return resizeArea(image, width, height, whole);
  }
  return resizeLinear(image, width, height);
}

/** Positions between pixels are quantised to 1/32, as in OpenCV's `warpAffine`. */
const STEPS = 32;

/** Positions are summed in finer steps before they are truncated to `STEPS`. */
const FINE = 1024;

/** Warp an image; every target pixel is interpolated from the four source pixels around it. */
function warpBilinear(image: Pixels, matrix: Matrix, width: number, height: number): Pixels {
  const [a, b, c, d, e, f] = invert(matrix);
  const { data, width: w, height: h } = image;
  const out = new Uint8ClampedArray(4 * width * height);
  for (let y = 0, at = 0; y < height; y++) {
    const lineU = Math.round((b * y + c) * FINE) + FINE / STEPS / 2;
    const lineV = Math.round((e * y + f) * FINE) + FINE / STEPS / 2;
    for (let x = 0; x < width; x++, at += 4) {
      const u = Math.floor(((lineU + Math.round(a * x * FINE)) * STEPS) / FINE) / STEPS;
      const v = Math.floor(((lineV + Math.round(d * x * FINE)) * STEPS) / FINE) / STEPS;
      const left = Math.floor(u);
      const top = Math.floor(v);
      if (left < -1 || top < -1 || left >= w || top >= h) continue;
      const right = u - left;
      const low = v - top;
      // Weights of the four source pixels; 0 outside the image.
      const w00 = left >= 0 && top >= 0 ? (1 - right) * (1 - low) : 0;
      const w01 = left + 1 < w && top >= 0 ? right * (1 - low) : 0;
      const w10 = left >= 0 && top + 1 < h ? (1 - right) * low : 0;
      const w11 = left + 1 < w && top + 1 < h ? right * low : 0;
      const p00 = 4 * (top * w + left);
      const i00 = w00 ? p00 : 0;
      const i01 = w01 ? p00 + 4 : 0;
      const i10 = w10 ? p00 + 4 * w : 0;
      const i11 = w11 ? p00 + 4 * w + 4 : 0;
      for (let channel = 0; channel < 3; channel++) {
        out[at + channel] =
          w00 * data[i00 + channel]! +
          w01 * data[i01 + channel]! +
          w10 * data[i10 + channel]! +
          w11 * data[i11 + channel]!;
      }
      out[at + 3] = 255;
    }
  }
  return { data: out, width, height };
}

/** Interpolation weights of `resizeLinear` are multiples of 1/2048, as in OpenCV's `resize`. */
const WEIGHTS = 2048;

/** Enlarge an image by bilinear interpolation; the pixels at the edges are replicated beyond them. */
function resizeLinear({ data, width: w, height: h }: Pixels, width: number, height: number): Pixels {
  const columns = neighbours(w, width);
  const rows = neighbours(h, height);
  const out = new Uint8ClampedArray(4 * width * height);
  for (let y = 0, at = 0; y < height; y++) {
    const top = 4 * w * rows.first[y]!;
    const low = 4 * w * rows.second[y]!;
    const share = rows.share[y]!;
    for (let x = 0; x < width; x++, at += 4) {
      const left = 4 * columns.first[x]!;
      const right = 4 * columns.second[x]!;
      const part = columns.share[x]!;
      for (let channel = 0; channel < 3; channel++) {
        const above = data[top + left + channel]! * (WEIGHTS - part) + data[top + right + channel]! * part;
        const below = data[low + left + channel]! * (WEIGHTS - part) + data[low + right + channel]! * part;
        // OpenCV also truncates the intermediate results.
        const sum = (((WEIGHTS - share) * (above >> 4)) >> 16) + ((share * (below >> 4)) >> 16);
        out[at + channel] = (sum + 2) >> 2;
      }
      out[at + 3] = 255;
    }
  }
  return { data: out, width, height };
}

/** Return the two source cells around the centre of each target cell, and the weight of the second one. */
function neighbours(from: number, to: number) {
  const [first, second, share] = [new Int32Array(to), new Int32Array(to), new Int32Array(to)];
  for (let i = 0; i < to; i++) {
    const place = clamp(((i + 0.5) * from) / to - 0.5, 0, from - 1);
    first[i] = Math.floor(place);
    second[i] = Math.min(first[i]! + 1, from - 1);
    share[i] = Math.round((place - first[i]!) * WEIGHTS);
  }
  return { first, second, share };
}

/** Shrink an image; every target pixel is the mean of the source area under it, and opaque. */
function resizeArea(image: Pixels, width: number, height: number, part: Part): Pixels {
  const factor = part.width / width;
  const whole = Number.isInteger(factor) && factor <= MAX_PACKED && part.height === factor * height;
  return whole ? averageBlocks(image, width, height, part, factor) : averageAreas(image, width, height, part);
}

/** Maximum side in pixels of a block in which the sums of two channels fit into one 32-bit number. */
const MAX_PACKED = 16;

/** `resizeArea` for an integer factor: red and blue are summed together. */
function averageBlocks(image: Pixels, width: number, height: number, part: Part, factor: number): Pixels {
  const { data } = image;
  const source = new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4);
  const out = new Uint8ClampedArray(4 * width * height);
  const share = 1 / factor ** 2;
  // For blocks of four pixels, halves are rounded up, as in OpenCV; otherwise to the even neighbour.
  const lift = factor === 2 ? 0.01 : 0;
  for (let y = 0, at = 0; y < height; y++) {
    const line = (part.top + y * factor) * image.width + part.left;
    for (let x = 0; x < width; x++, at += 4) {
      let redBlue = 0;
      let green = 0;
      for (let row = 0, from = line + x * factor; row < factor; row++, from += image.width) {
        for (let i = from; i < from + factor; i++) {
          const pixel = source[i]!;
          redBlue = (redBlue + (pixel & 0xff00ff)) | 0;
          green += (pixel >> 8) & 0xff;
        }
      }
      out[at] = (redBlue & 0xffff) * share + lift;
      out[at + 1] = green * share + lift;
      out[at + 2] = (redBlue >>> 16) * share + lift;
      out[at + 3] = 255;
    }
  }
  return { data: out, width, height };
}

/** `resizeArea` for any factor: pixels at the edge of an area are weighted by the fraction that lies in it. */
function averageAreas(image: Pixels, width: number, height: number, part: Part): Pixels {
  const { data } = image;
  const columns = coverage(part.width, width);
  const rows = coverage(part.height, height);
  const out = new Uint8ClampedArray(4 * width * height);
  const sums = new Float32Array(3 * width);
  for (let y = 0; y < height; y++) {
    sums.fill(0);
    for (let j = rows.start[y]!; j < rows.start[y + 1]!; j++) {
      const weight = rows.weight[j]!;
      const line = 4 * ((part.top + rows.source[j]!) * image.width + part.left);
      for (let x = 0, at = 0; x < width; x++, at += 3) {
        let red = 0;
        let green = 0;
        let blue = 0;
        for (let i = columns.start[x]!; i < columns.start[x + 1]!; i++) {
          const share = columns.weight[i]!;
          const from = line + 4 * columns.source[i]!;
          red += share * data[from]!;
          green += share * data[from + 1]!;
          blue += share * data[from + 2]!;
        }
        sums[at]! += weight * red;
        sums[at + 1]! += weight * green;
        sums[at + 2]! += weight * blue;
      }
    }
    for (let x = 0, at = 4 * y * width; x < width; x++, at += 4) {
      out[at] = sums[3 * x]!;
      out[at + 1] = sums[3 * x + 1]!;
      out[at + 2] = sums[3 * x + 2]!;
      out[at + 3] = 255;
    }
  }
  return { data: out, width, height };
}

/** Return the source cells under each target cell, and the fraction of the target that each of them fills. */
function coverage(from: number, to: number) {
  const step = from / to;
  const start = new Int32Array(to + 1);
  const source: number[] = [];
  const weight: number[] = [];
  for (let i = 0; i < to; i++) {
    const [low, high] = [i * step, (i + 1) * step];
    for (let cell = Math.floor(low + 1e-6); cell < Math.min(high - 1e-6, from); cell++) {
      source.push(cell);
      weight.push((Math.min(cell + 1, high) - Math.max(cell, low)) / step);
    }
    start[i + 1] = source.length;
  }
  return { start, source: Int32Array.from(source), weight: Float32Array.from(weight) };
}

/** Return the part of an image that a warp reads, so that the rest need not be shrunk. */
function partUnder(image: Pixels, matrix: Matrix, width: number, height: number, margin: number): Part {
  const corners = Float64Array.of(0, 0, width, 0, 0, height, width, height);
  const [x0, y0, x1, y1] = boundingBox(apply(invert(matrix), corners));
  const left = Math.trunc(clamp(x0 - margin, 0, image.width - 1));
  const top = Math.trunc(clamp(y0 - margin, 0, image.height - 1));
  const right = Math.trunc(clamp(x1 + margin, left + 1, image.width));
  const bottom = Math.trunc(clamp(y1 + margin, top + 1, image.height));
  return { left, top, width: right - left, height: bottom - top };
}
