/** Make-up: colour on regions of a face that its points outline. */
import { type Points, clamp } from "../geometry";
import { type Context, contextOf, createCanvas } from "../image";
import type { PaintSpec } from "./manifest";
import { meet, trace } from "./patch";
import { REGIONS } from "./regions";
import type { Trigger } from "./triggers";
import type { Wearer } from "./wearer";

/** Standard deviation of the blur of the edge, as a fraction of the width of the face seen from the front. */
const SOFT = 0.0073;

/** Pixels by which an area extends beyond its outline, so that the pixels on the outline belong to it. */
const RIM = 0.65;

/** Luma weights of red, green and blue. */
const LIGHT = [0.299, 0.587, 0.114] as const;

/** Colour on a region: hue and saturation come from the colour, light and shade from the face. */
export class Paint {
  readonly name: string;
  readonly order: number;
  readonly trigger?: Trigger;
  readonly length = 0;

  /**
   * @param spec - Its entry in the manifest.
   * @param maxFaces - Maximum number of faces that wear it, the largest first.
   */
  constructor(
    private readonly spec: PaintSpec,
    readonly maxFaces: number,
  ) {
    ({ name: this.name, order: this.order, trigger: this.trigger } = spec);
  }

  /** Draw the make-up on one face; see `Worn`. */
  put(context: Context, wearer: Wearer, visible: number): void {
    if (!Number.isFinite(wearer.width)) return;
    const outlines = REGIONS[this.spec.region](wearer.points, wearer.width).map(rounded);
    const soft = Math.max(SOFT * wearer.width, 0.5);
    const around = Float64Array.from(outlines.flatMap((outline) => [...outline]));
    const box = meet(around, context.canvas.width, context.canvas.height, 3 * soft);
    if (!box) return;
    const [x0, y0] = box;
    const [width, height] = [box[2] - x0, box[3] - y0];
    const shares = blurred(fill(outlines, x0, y0, width, height), width, height, soft);
    const image = context.getImageData(x0, y0, width, height);
    const { data } = image;
    const light = Float32Array.from(shares, (_, i) => luma(data[4 * i]!, data[4 * i + 1]!, data[4 * i + 2]!));
    const total = shares.reduce((sum, share) => sum + share, 0);
    const mean = shares.reduce((sum, share, i) => sum + share * light[i]!, 0) / Math.max(total, 1e-6);
    const own = luma(...this.spec.colour);
    // Lightness halfway between those of the face and the colour, with the face's light and shade in proportion.
    const gain = 0.5 + (0.5 * own) / Math.max(mean, 1);
    shares.forEach((share, i) => {
      if (!share) return;
      const opacity = share * this.spec.opacity * visible;
      const brighter = light[i]! * gain - own;
      for (let channel = 0; channel < 3; channel++) {
        const below = data[4 * i + channel]!;
        const painted = clamp(this.spec.colour[channel]! + brighter, 0, 255);
        data[4 * i + channel] = below + opacity * (painted - below);
      }
    });
    context.putImageData(image, x0, y0);
  }
}

function luma(red: number, green: number, blue: number): number {
  return LIGHT[0] * red + LIGHT[1] * green + LIGHT[2] * blue;
}

/** Round a polygon by cutting its corners, twice (Chaikin, 1974). */
function rounded(outline: Points): Points {
  let points = [...outline];
  for (let round = 0; round < 2; round++) {
    const count = points.length;
    points = points.flatMap((_, i) => {
      if (i % 2) return [];
      const [x, y, u, v] = [points[i]!, points[i + 1]!, points[(i + 2) % count]!, points[(i + 3) % count]!];
      return [0.75 * x + 0.25 * u, 0.75 * y + 0.25 * v, 0.25 * x + 0.75 * u, 0.25 * y + 0.75 * v];
    });
  }
  return Float64Array.from(points);
}

let masks: Context | undefined;

/** Return the coverage of each pixel, 0 to 1, by the area of the first outline without that of the second. */
function fill(outlines: readonly Points[], x0: number, y0: number, width: number, height: number): Float32Array {
  masks ??= contextOf(createCanvas(width, height), true);
  const { canvas } = masks;
  if (canvas.width < width || canvas.height < height) {
    Object.assign(canvas, { width: Math.max(canvas.width, width), height: Math.max(canvas.height, height) });
  }
  masks.clearRect(0, 0, width, height);
  masks.lineWidth = 2 * RIM;
  masks.lineJoin = "round";
  masks.setTransform(1, 0, 0, 1, -x0, -y0);
  outlines.forEach((outline, i) => {
    masks!.globalCompositeOperation = i ? "destination-out" : "source-over";
    trace(masks!, outline);
    masks!.fill("evenodd");
    masks!.stroke();
  });
  masks.resetTransform();
  const { data } = masks.getImageData(0, 0, width, height);
  return Float32Array.from({ length: width * height }, (_, i) => data[4 * i + 3]! / 255);
}

/** Blur by a Gaussian, with the values reflected at the edges. */
function blurred(values: Float32Array, width: number, height: number, sigma: number): Float32Array {
  const radius = Math.round(6 * sigma + 1) >> 1;
  const kernel = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)));
  const sum = kernel.reduce((total, weight) => total + weight, 0);
  const pass = (from: Float32Array, count: number, step: number, lines: number, stride: number) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < count; i++) {
        let value = 0;
        for (let k = -radius; k <= radius; k++) {
          let at = Math.abs(i + k);
          if (at >= count) at = Math.max(2 * count - 2 - at, 0);
          value += kernel[k + radius]! * from[line * stride + at * step]!;
        }
        to[line * stride + i * step] = value / sum;
      }
    }
    return to;
  };
  return pass(pass(values, width, 1, height, width), height, width, width, 1);
}
