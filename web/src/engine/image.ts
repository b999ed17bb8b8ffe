/** Conversion of images of any kind to pixels, and canvases for pages and workers. */
import { UserError } from "./errors";
import type { Pixels } from "./warp";

/** Image that the engine accepts. */
export type Source = Pixels | Exclude<CanvasImageSource, SVGImageElement>;

export type Canvas = OffscreenCanvas | HTMLCanvasElement;
export type Context = OffscreenCanvasRenderingContext2D | CanvasRenderingContext2D;

/** Create a canvas that is not shown. */
export function createCanvas(width: number, height: number): Canvas {
  if (typeof OffscreenCanvas !== "undefined") return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** Return the drawing context of a canvas; `read` is true if its pixels will be read often. */
export function contextOf(canvas: Canvas, read = false): Context {
  const settings: CanvasRenderingContext2DSettings = { willReadFrequently: read };
  return "transferToImageBitmap" in canvas ? canvas.getContext("2d", settings)! : canvas.getContext("2d", settings)!;
}

/** Return the width and height of an image in pixels. */
function sizeOf(source: Source): { width: number; height: number } {
  if ("displayWidth" in source) return { width: source.displayWidth, height: source.displayHeight };
  if ("videoWidth" in source) return { width: source.videoWidth, height: source.videoHeight };
  if ("naturalWidth" in source) return { width: source.naturalWidth, height: source.naturalHeight };
  return { width: source.width, height: source.height };
}

let reader: Context | undefined;

/** Return the pixels of an image. */
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
