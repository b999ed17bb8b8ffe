/** Images of any kind, as pixels; and canvases wherever the engine runs. */
import { UserError } from "./errors";
import type { Pixels } from "./warp";

/** What the engine looks at. */
export type Source = Pixels | Exclude<CanvasImageSource, SVGImageElement>;

export type Canvas = OffscreenCanvas | HTMLCanvasElement;
export type Context = OffscreenCanvasRenderingContext2D | CanvasRenderingContext2D;

/** A canvas that is shown nowhere. */
export function createCanvas(width: number, height: number): Canvas {
  if (typeof OffscreenCanvas !== "undefined") return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** The drawing context of a canvas; `read` if its pixels will be read often. */
export function contextOf(canvas: Canvas, read = false): Context {
  const settings: CanvasRenderingContext2DSettings = { willReadFrequently: read };
  return "transferToImageBitmap" in canvas ? canvas.getContext("2d", settings)! : canvas.getContext("2d", settings)!;
}

/** Width and height in pixels. */
function sizeOf(source: Source): { width: number; height: number } {
  if ("displayWidth" in source) return { width: source.displayWidth, height: source.displayHeight };
  if ("videoWidth" in source) return { width: source.videoWidth, height: source.videoHeight };
  if ("naturalWidth" in source) return { width: source.naturalWidth, height: source.naturalHeight };
  return { width: source.width, height: source.height };
}

let reader: Context | undefined;

/** An image's pixels. */
export function toPixels(source: Source): Pixels {
  if ("data" in source) return source;
  const { width, height } = sizeOf(source);
  if (!width || !height) throw new UserError("image.empty", { file: "image" });
  reader ??= contextOf(createCanvas(width, height), true);
  if (reader.canvas.width !== width || reader.canvas.height !== height) {
    Object.assign(reader.canvas, { width, height });
  }
  reader.globalCompositeOperation = "copy";
  reader.drawImage(source, 0, 0, width, height);
  return reader.getImageData(0, 0, width, height);
}
