/** Stickers: layers anchored to faces, and their drawing on images. */
import type { Face } from "../faces";
import { type Points, clamp } from "../geometry";
import { type Context, contextOf, createCanvas } from "../image";
import type { Blend, LayerSpec } from "./manifest";
import { trace } from "./patch";
import { type Placement, fit } from "./placement";
import type { Texture } from "./texture";
import { type Trigger, still } from "./triggers";
import { Wearer } from "./wearer";

/** Range of face scores over which a sticker fades from invisible to its full opacity. */
const FADE = [0.2, 0.4] as const;

const COMPOSITES: Record<Blend, GlobalCompositeOperation> = {
  normal: "source-over",
  multiply: "multiply",
  screen: "screen",
};

/** Interface of the parts of a sticker: `Layer` or `Paint`. */
export interface Worn {
  /** Name in messages. */
  readonly name: string;
  /** Position in the drawing order; lower values are drawn first. */
  readonly order: number;
  /** Condition for showing it; undefined: always shown. */
  readonly trigger?: Trigger;
  /** Maximum number of faces that wear it, the largest first. */
  readonly maxFaces: number;
  /** Total duration of its frames in seconds. */
  readonly length: number;
  /**
   * Draw the layer on one face.
   *
   * @param context - Context of a canvas with the image that the face was found in, at the same size.
   * @param wearer - Face to draw on.
   * @param visible - Factor of the opacity, 0 to 1.
   * @param seconds - Time in seconds since the start, or since the layer's trigger fired.
   */
  put(context: Context, wearer: Wearer, visible: number, seconds: number): void;
}

/** One image, or a sequence of images, anchored to places of the face. */
export class Layer implements Worn {
  readonly name: string;
  readonly order: number;
  readonly trigger?: Trigger;
  readonly length: number;

  /**
   * @param spec - Its entry in the manifest.
   * @param frames - Images, all of one size.
   * @param pixels - Positions of the places in pixels of the images; those of `meshPoints` if the fit is "face".
   * @param maxFaces - Maximum number of faces that wear it, the largest first.
   */
  constructor(
    private readonly spec: LayerSpec,
    readonly frames: readonly Texture[],
    private readonly pixels: Float64Array,
    readonly maxFaces: number,
  ) {
    ({ name: this.name, order: this.order, trigger: this.trigger } = spec);
    this.length = (frames.length * spec.frameMs) / 1000;
  }

  /** Return the positions on a face to fit the layer to. */
  target(wearer: Wearer): Float64Array {
    return wearer.target(Object.keys(this.spec.anchors), this.spec.fit);
  }

  /** Return the placement on a face; null if the face is too small or too foreshortened. */
  place(wearer: Wearer): Placement | null {
    return fit(this.spec.fit, this.pixels, this.target(wearer));
  }

  put(context: Context, wearer: Wearer, visible: number, seconds: number): void {
    const { opacity, side, hiddenFrom, frameMs, behind, within, blend } = this.spec;
    const shown = opacity * visible * wearer.facing(side, hiddenFrom);
    // Frame times have rounding errors: 1.2 - 1.0 is less than 0.2.
    const texture = this.frames[Math.floor((seconds * 1000) / frameMs + 1e-6) % this.frames.length]!;
    if (!texture.box || !shown) return;
    const placement = this.place(wearer);
    if (!placement) return;
    context.save();
    context.globalCompositeOperation = COMPOSITES[blend];
    context.globalAlpha = shown;
    if (behind === "face" || within === "face") {
      const { width, height } = context.canvas;
      const scratch = clearScratch(width, height);
      scratch.save();
      placement.draw(scratch, texture);
      scratch.restore();
      if (behind === "face") cut(scratch, wearer.outline, "destination-out");
      if (within === "face") cut(scratch, wearer.outline, "destination-in");
      context.drawImage(scratch.canvas, 0, 0, width, height, 0, 0, width, height);
    } else {
      placement.draw(context, texture);
    }
    context.restore();
  }
}

/** Set of layers that are drawn on faces together. */
export class Sticker {
  readonly layers: readonly Worn[];

  /**
   * @param layers - Layers in any order; `order` determines which is drawn first.
   * @param name - Name of the pack.
   * @param title - Name to display.
   */
  constructor(
    layers: readonly Worn[],
    readonly name = "",
    readonly title = "",
  ) {
    this.layers = [...layers].sort((a, b) => a.order - b.order);
  }

  /**
   * Draw the sticker on faces, the largest last.
   *
   * @param context - Context of a canvas with the image that the faces were found in, at the same size.
   * @param faces - Faces as returned by the landmarker or the tracker, largest first; those of a tracker keep the state
   *   of triggers between frames.
   * @param seconds - Time since the start in seconds, for layers of several frames.
   */
  draw(context: Context, faces: readonly Face[], seconds = 0): void {
    for (let rank = faces.length - 1; rank >= 0; rank--) {
      const { points, score } = faces[rank]!;
      const visible = clamp((score - FADE[0]) / (FADE[1] - FADE[0]), 0, 1);
      if (!(visible > 0 && points.every(Number.isFinite))) continue;
      const wearer = new Wearer(faces[rank]!, rank);
      for (const layer of this.layers) {
        if (rank >= layer.maxFaces) continue;
        const { trigger, length } = layer;
        const since = trigger ? wearer.shownFor(layer, trigger, seconds, length) : seconds;
        if (since !== null) layer.put(context, wearer, visible, since);
      }
    }
  }

  /** Draw all layers on a face as if their triggers had fired, for a preview of the sticker. */
  drawWhole(context: Context, face: Face): void {
    const wearer = new Wearer(face, 0);
    for (const layer of this.layers) layer.put(context, wearer, 1, still(layer.trigger, layer.length));
  }
}

/** Combine stickers into one: their layers are sorted by `order`, so a hat is drawn over any pair of glasses. */
export function combine(stickers: readonly Sticker[]): Sticker {
  return new Sticker(
    stickers.flatMap((sticker) => sticker.layers),
    stickers.map((sticker) => sticker.name).join("+"),
    stickers.map((sticker) => sticker.title).join(" + "),
  );
}

let scratch: Context | undefined;

/** Return an empty canvas of this size; every call reuses the same one. */
function clearScratch(width: number, height: number): Context {
  scratch ??= contextOf(createCanvas(width, height));
  if (scratch.canvas.width !== width || scratch.canvas.height !== height) {
    Object.assign(scratch.canvas, { width, height });
  } else {
    scratch.clearRect(0, 0, width, height);
  }
  return scratch;
}

/** Clear the part of a canvas inside or outside a polygon, with an antialiased edge. */
function cut(context: Context, polygon: Points, how: "destination-out" | "destination-in"): void {
  context.save();
  context.globalCompositeOperation = how;
  trace(context, polygon);
  context.fill();
  context.restore();
}
