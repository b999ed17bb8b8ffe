/** Recipes: what inference needs to know about a network, written beside it as JSON by `tools/export.py`. */
import { UserError, reasonOf } from "./errors";
import { NUM_POINTS } from "./landmarks";
import type { PixelSpec } from "./pixels";

/** Version of the format. */
const FORMAT = "facekp-1";

/** Maximum side of a crop in pixels; a larger one is a mistake or an attack. */
const MAX_SIZE = 2048;

/** Recipe of a network of points. */
export interface PointsRecipe {
  readonly finds: "points";
  readonly pixels: readonly PixelSpec[];
  /** Side length of the crop in pixels. */
  readonly size: number;
  /** Position of the face box's centre in the crop, x and y, in fractions of its side. */
  readonly faceCentre: readonly [number, number];
  /** The longer side of the face box, in fractions of the crop's side. */
  readonly faceSide: number;
  /** Whether the network scores its points. */
  readonly scored: boolean;
}

/** Recipe of a face detector. */
export interface BoxesRecipe {
  readonly finds: "boxes";
  readonly pixels: readonly PixelSpec[];
}

export type Recipe = PointsRecipe | BoxesRecipe;

/**
 * Parse and validate a recipe.
 *
 * @param text - JSON, as written by `tools/export.py`.
 * @param file - Name of the file in messages.
 */
export function readRecipe(text: string, file: string): Recipe {
  const damaged = (reason: string) => new UserError("network.recipe", { file, reason });
  let whole: unknown;
  try {
    whole = JSON.parse(text);
  } catch (error) {
    throw damaged(reasonOf(error));
  }
  if (!isRecord(whole) || whole.format !== FORMAT) throw new UserError("network.format", { file, wanted: FORMAT });
  const recipe = whole.recipe;
  if (!isRecord(recipe)) throw damaged("recipe");
  const pixels = recipe.pixels;
  if (!Array.isArray(pixels) || !pixels.every(isPixelSpec)) throw damaged("pixels");
  if (whole.finds === "boxes") return { finds: "boxes", pixels };
  const points = isRecord(recipe.schema) ? recipe.schema.points : undefined;
  const count = Array.isArray(points) ? points.length : recipe.num_points; // older recipes have only a number
  if (count !== NUM_POINTS) {
    throw new UserError("network.points", { file, count: String(count), wanted: NUM_POINTS });
  }
  const { size, face_centre: centre, face_side: side, network } = recipe;
  if (!isNumber(size) || !Number.isInteger(size) || size < 8 || size > MAX_SIZE) throw damaged("size");
  if (!Array.isArray(centre) || centre.length !== 2 || !centre.every(isFraction)) throw damaged("face_centre");
  if (!isNumber(side) || side <= 0 || side > 2) throw damaged("face_side");
  return {
    finds: "points",
    pixels,
    size,
    faceCentre: [centre[0]!, centre[1]!],
    faceSide: side,
    scored: isRecord(network) && Boolean(network.score),
  };
}

function isPixelSpec(value: unknown): value is PixelSpec {
  if (!isRecord(value) || typeof value.type !== "string") return false;
  const channels = value.channels ?? 3;
  return channels === 1 || channels === 3;
}

/** Return whether a value is a valid position in fractions of a crop, at most slightly outside it. */
function isFraction(value: unknown): value is number {
  return isNumber(value) && value >= -1 && value <= 2;
}

/** Return whether a value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Return whether a value is a finite number. */
export function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}
