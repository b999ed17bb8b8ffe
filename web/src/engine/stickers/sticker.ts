/** A sticker: layers tied to faces, and the one verb that puts them on. */
import type { Face } from "../faces";
import { type Points, clamp } from "../geometry";
import { type Context, contextOf, createCanvas } from "../image";
import { anchors, faceOutline, mouthOpenness } from "../landmarks";
import type { Blend, LayerSpec } from "./manifest";
import { fit } from "./placement";
import type { Texture } from "./texture";

/** From this gap between the lips on (over the mouth's width) the mouth counts as open. */
const MOUTH_OPEN = 0.3;

/** Scores between which a face's sticker goes from invisible to its full opacity. */
const FADE = [0.2, 0.4] as const;

const COMPOSITES: Record<Blend, GlobalCompositeOperation> = {
  normal: "source-over",
  multiply: "multiply",
  screen: "screen",
};

/** One picture, or a sequence of them, tied to places of the face. */
export interface Layer extends Omit<LayerSpec, "frames"> {
  /** The pictures, all of one size. */
  readonly frames: readonly Texture[];
  /** How many faces wear it at most, the largest first. */
  readonly maxFaces: number;
}

/** Layers that are put on faces together. */
export class Sticker {
  readonly layers: readonly Layer[];

  /**
   * @param layers - In any order; `order` says which is drawn first.
   * @param name - The pack's name.
   * @param title - What people call it.
   */
  constructor(
    layers: readonly Layer[],
    readonly name = "",
    readonly title = "",
  ) {
    this.layers = [...layers].sort((a, b) => a.order - b.order);
  }

  /**
   * Put the sticker on faces, the largest last.
   *
   * @param context - Shows the picture that the faces were found in, pixel on pixel.
   * @param faces - As the landmarker or the tracker returns them, the largest first.
   * @param seconds - Time since the start, for layers of several frames.
   */
  draw(context: Context, faces: readonly Face[], seconds = 0): void {
    for (let rank = faces.length - 1; rank >= 0; rank--) {
      const { points, score } = faces[rank]!;
      const visible = clamp((score - FADE[0]) / (FADE[1] - FADE[0]), 0, 1);
      if (visible > 0 && points.every(Number.isFinite)) this.put(context, points, rank, visible, seconds);
    }
  }

  /** Draw all layers on one face. */
  private put(context: Context, points: Points, rank: number, visible: number, seconds: number): void {
    const face = anchors(points);
    for (const layer of this.layers) {
      if (rank >= layer.maxFaces) continue;
      if (layer.trigger === "mouth_open" && mouthOpenness(points) < MOUTH_OPEN) continue;
      const texture = layer.frames[Math.floor((seconds * 1000) / layer.frameMs) % layer.frames.length]!;
      const names = Object.keys(layer.anchors);
      const source = Float64Array.from(names.flatMap((name) => [...layer.anchors[name]!]));
      const target = Float64Array.from(names.flatMap((name) => [...face[name]!]));
      const placement = fit(layer.fit, source, target);
      if (!texture.box || !placement) continue;
      context.save();
      context.globalCompositeOperation = COMPOSITES[layer.blend];
      context.globalAlpha = layer.opacity * visible;
      if (layer.behind === "face") {
        const { width, height } = context.canvas;
        const scratch = clearScratch(width, height);
        scratch.save();
        placement.draw(scratch, texture);
        scratch.restore();
        cutOut(scratch, faceOutline(points));
        context.drawImage(scratch.canvas, 0, 0, width, height, 0, 0, width, height);
      } else {
        placement.draw(context, texture);
      }
      context.restore();
    }
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

/** Clear what lies inside of a polygon, with a smooth edge. */
function cutOut(context: Context, polygon: Points): void {
  context.save();
  context.globalCompositeOperation = "destination-out";
  context.beginPath();
  for (let i = 0; i < polygon.length; i += 2) context.lineTo(polygon[i]! + 0.5, polygon[i + 1]! + 0.5);
  context.closePath();
  context.fill();
  context.restore();
}
