/** A sticker: layers tied to faces, and the one verb that puts them on. */
import type { Face } from "../faces";
import { type Points, clamp } from "../geometry";
import { type Context, contextOf, createCanvas } from "../image";
import type { Blend, LayerSpec } from "./manifest";
import { trace } from "./patch";
import { type Placement, fit } from "./placement";
import type { Texture } from "./texture";
import { type Trigger, still } from "./triggers";
import { Wearer } from "./wearer";

/** Scores between which a face's sticker goes from invisible to its full opacity. */
const FADE = [0.2, 0.4] as const;

const COMPOSITES: Record<Blend, GlobalCompositeOperation> = {
  normal: "source-over",
  multiply: "multiply",
  screen: "screen",
};

/** What a sticker is made of: `Layer` or `Paint`. */
export interface Worn {
  /** What messages call it. */
  readonly name: string;
  /** Lower layers are drawn first. */
  readonly order: number;
  /** When it is shown; undefined: always. */
  readonly trigger?: Trigger;
  /** How many faces wear it at most, the largest first. */
  readonly maxFaces: number;
  /** How long its frames take, in seconds. */
  readonly length: number;
  /**
   * Draw it on one face.
   *
   * @param context - Shows the image that the face was found in, pixel on pixel.
   * @param wearer - The face.
   * @param visible - 0 to 1, how strongly.
   * @param seconds - Time since the start, or since its trigger fired.
   */
  put(context: Context, wearer: Wearer, visible: number, seconds: number): void;
}

/** One image, or a sequence of them, tied to places of the face. */
export class Layer implements Worn {
  readonly name: string;
  readonly order: number;
  readonly trigger?: Trigger;
  readonly length: number;

  /**
   * @param spec - What its manifest says.
   * @param frames - The images, all of one size.
   * @param pixels - Where the places lie in the images; those of `meshPoints` if the fit is "face".
   * @param maxFaces - How many faces wear it at most, the largest first.
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

  /** What it is tied to on a face. */
  target(wearer: Wearer): Float64Array {
    return wearer.target(Object.keys(this.spec.anchors), this.spec.fit);
  }

  /** Where it lies on a face; null if the face is too small to show it. */
  place(wearer: Wearer): Placement | null {
    return fit(this.spec.fit, this.pixels, this.target(wearer));
  }

  put(context: Context, wearer: Wearer, visible: number, seconds: number): void {
    const { opacity, side, hiddenFrom, frameMs, behind, within, blend } = this.spec;
    const shown = opacity * visible * wearer.facing(side, hiddenFrom);
    // Times of films are rounded: 1.2 - 1.0 is less than 0.2.
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

/** Layers that are put on faces together. */
export class Sticker {
  readonly layers: readonly Worn[];

  /**
   * @param layers - In any order; `order` says which is drawn first.
   * @param name - The pack's name.
   * @param title - What people call it.
   */
  constructor(
    layers: readonly Worn[],
    readonly name = "",
    readonly title = "",
  ) {
    this.layers = [...layers].sort((a, b) => a.order - b.order);
  }

  /**
   * Put the sticker on faces, the largest last.
   *
   * @param context - Shows the image that the faces were found in, pixel on pixel.
   * @param faces - As the landmarker or the tracker returns them, the largest first; those of a tracker remember what
   *   triggered before.
   * @param seconds - Time since the start, for layers of several frames.
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

  /** Put all of the sticker on a face, whatever the face does: as an image to choose it by. */
  drawWhole(context: Context, face: Face): void {
    const wearer = new Wearer(face, 0);
    for (const layer of this.layers) layer.put(context, wearer, 1, still(layer.trigger, layer.length));
  }
}

/** Several stickers as one: their layers mix by `order`, so a hat sits over any pair of glasses. */
export function combine(stickers: readonly Sticker[]): Sticker {
  return new Sticker(
    stickers.flatMap((sticker) => sticker.layers),
    stickers.map((sticker) => sticker.name).join("+"),
    stickers.map((sticker) => sticker.title).join(" + "),
  );
}

let scratch: Context | undefined;

/** An empty canvas of at least this size, used again and again. */
function clearScratch(width: number, height: number): Context {
  scratch ??= contextOf(createCanvas(width, height));
  if (scratch.canvas.width !== width || scratch.canvas.height !== height) {
    Object.assign(scratch.canvas, { width, height });
  } else {
    scratch.clearRect(0, 0, width, height);
  }
  return scratch;
}

/** Clear what lies inside of a polygon, or outside, with a smooth edge. */
function cut(context: Context, polygon: Points, how: "destination-out" | "destination-in"): void {
  context.save();
  context.globalCompositeOperation = how;
  trace(context, polygon);
  context.fill();
  context.restore();
}
