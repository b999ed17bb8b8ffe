/** The keys of a sticker pack's `manifest.json`, and their validation. */
import { UserError, reasonOf } from "../errors";
import { ANCHOR_NAMES } from "../landmarks";
import { isNumber, isRecord } from "../recipe";
import { SIGNAL_NAMES } from "../signals";
import { REGION_NAMES, type Region } from "./regions";
import type { Trigger } from "./triggers";

export const MANIFEST_FILE = "manifest.json";

const FITS = ["similarity", "affine", "mesh", "face"] as const;
const BLENDS = ["normal", "multiply", "screen"] as const;
const TRIGGERS = ["always", ...SIGNAL_NAMES] as const;
const MODES = ["while", "burst"] as const;
const COVERS = ["nothing", "face"] as const;
const HOLDERS = ["anywhere", "face"] as const;
const SIDES = ["none", "left", "right"] as const;

export type Fit = (typeof FITS)[number];
export type Blend = (typeof BLENDS)[number];
export type Side = (typeof SIDES)[number];

/** Minimum number of anchors for each fit. */
const MIN_ANCHORS: Record<Fit, number> = { similarity: 2, affine: 3, mesh: 4, face: 3 };

/** Maximum number of layers of a pack, and of frames of a layer. */
const [MAX_LAYERS, MAX_FRAMES] = [32, 1000];

/** Keys of every layer. */
interface WornSpec {
  /** Name of the layer in messages. */
  readonly name: string;
  /** Position in the drawing order, across all stickers of a face; lower values are drawn first. */
  readonly order: number;
  /** Condition for showing the layer; undefined: always shown. */
  readonly trigger?: Trigger;
  readonly opacity: number;
}

/** One image, or a sequence of images, anchored to the face. */
export interface LayerSpec extends WornSpec {
  /** PNG files of the pack, shown one after the other in a loop. */
  readonly frames: readonly string[];
  readonly frameMs: number;
  /** Name of a place of the face -> its x, y in pixels of the PNG. */
  readonly anchors: Readonly<Record<string, readonly [number, number]>>;
  readonly fit: Fit;
  readonly blend: Blend;
  /** "face": hidden inside the face outline. */
  readonly behind: (typeof COVERS)[number];
  /** "face": hidden outside the face outline. */
  readonly within: (typeof HOLDERS)[number];
  /** Side of the head that carries the layer, as seen by the viewer. */
  readonly side: Side;
  /** Degrees of yaw from which that side is hidden. */
  readonly hiddenFrom: number;
}

/** Make-up: colour on a region of the face. */
export interface PaintSpec extends WornSpec {
  readonly region: Region;
  /** Red, green, blue, 0 to 255. */
  readonly colour: readonly [number, number, number];
}

/** A sticker: its title, author and licence, and its layers. */
interface PackSpec {
  readonly name: string;
  readonly title: string;
  readonly author: string;
  readonly licence: string;
  /** Maximum number of faces that wear it, the largest first. */
  readonly maxFaces: number;
  readonly layers: readonly (LayerSpec | PaintSpec)[];
}

const PACK_KEYS = ["$schema", "name", "title", "author", "licence", "max_faces", "layers"];
const WORN_KEYS = ["name", "order", "trigger"];
const LAYER_KEYS = [
  ...WORN_KEYS,
  ...["frames", "frame_ms", "anchors", "fit", "opacity", "blend", "behind", "within", "side", "hidden_from"],
];
const PAINT_KEYS = [...WORN_KEYS, "region", "colour", "opacity"];
const TRIGGER_KEYS = ["signal", "on", "off", "hold_ms", "mode"];

/**
 * Parse and validate a pack's manifest.
 *
 * @param text - JSON.
 * @param file - Name of the manifest in messages.
 */
export function readManifest(text: string, file: string): PackSpec {
  let whole: unknown;
  try {
    whole = JSON.parse(text);
  } catch (error) {
    throw new UserError("pack.json", { file, reason: reasonOf(error) });
  }
  const pack = new Reader(whole, PACK_KEYS, file, "");
  pack.take("$schema", isString, '"..."', "");
  const layers = pack.take("layers", isLayers, `[{...}, ...] (1 ... ${MAX_LAYERS})`);
  return {
    name: pack.take("name", isPackName, "a-z 0-9 _ -"),
    title: pack.take("title", isText, '"..."'),
    author: pack.take("author", isText, '"..."'),
    licence: pack.take("licence", isText, '"..."'),
    maxFaces: pack.take("max_faces", isCount, "1, 2, ...", 100),
    layers: layers.map((layer, index) => readLayer(layer, index, file)),
  };
}

function readLayer(value: unknown, index: number, file: string): LayerSpec | PaintSpec {
  const prefix = `layer ${index}, `;
  return isRecord(value) && "region" in value
    ? readPaint(new Reader(value, PAINT_KEYS, file, prefix))
    : readImage(new Reader(value, LAYER_KEYS, file, prefix), file);
}

function readWorn(layer: Reader, opacity: number): WornSpec {
  return {
    name: layer.take("name", isText, '"..."'),
    order: layer.take("order", isWhole, "0, 1, ...", 0),
    trigger: readTrigger(layer),
    opacity: layer.take("opacity", isShare, "0 ... 1", opacity),
  };
}

function readTrigger(layer: Reader): Trigger | undefined {
  const trigger = layer.inside("trigger", TRIGGER_KEYS);
  const word = trigger ? trigger.choose("signal", SIGNAL_NAMES, true) : layer.choose("trigger", TRIGGERS);
  if (word === "always") return undefined;
  const on = trigger?.take("on", isTurnOn, "> 0, <= 1", 0.5) ?? 0.5;
  return {
    signal: word,
    on,
    off: trigger?.take("off", (value): value is number => isShare(value) && value <= on, `0 ... ${on}`, 0.35) ?? 0.35,
    holdMs: trigger?.take("hold_ms", isNotNegative, ">= 0", 0) ?? 0,
    mode: trigger?.choose("mode", MODES) ?? "while",
  };
}

function readPaint(layer: Reader): PaintSpec {
  const worn = readWorn(layer, 0.6);
  // Make-up has no frames that a burst could play.
  if (worn.trigger?.mode === "burst" && !worn.trigger.holdMs) throw layer.wrong("trigger.hold_ms", "> 0");
  const colour = layer.take("colour", isColour, "#rrggbb");
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return {
    ...worn,
    region: layer.choose("region", REGION_NAMES, true),
    colour: [red!, green!, blue!],
  };
}

function readImage(layer: Reader, file: string): LayerSpec {
  const fit = layer.choose("fit", FITS);
  const anchors = layer.take("anchors", isAnchors, '{"place": [x, y], ...}');
  const where = layer.where("anchors");
  const extra = Object.keys(anchors).find((name) => !ANCHOR_NAMES.includes(name));
  if (extra !== undefined) {
    throw new UserError("pack.place", { file, where, name: extra.slice(0, 40), known: ANCHOR_NAMES.join(", ") });
  }
  const count = Object.keys(anchors).length;
  if (count < MIN_ANCHORS[fit]) {
    throw new UserError("pack.few", { file, where, fit, min: MIN_ANCHORS[fit], count });
  }
  const behind = layer.choose("behind", COVERS);
  return {
    ...readWorn(layer, 1),
    frames: layer.take("frames", isFrames, '["NAME.png", ...]'),
    frameMs: layer.take("frame_ms", isFrameTime, ">= 1", 100),
    anchors,
    fit,
    blend: layer.choose("blend", BLENDS),
    behind,
    within: behind === "face" ? layer.choose("within", HOLDERS.slice(0, 1)) : layer.choose("within", HOLDERS),
    side: layer.choose("side", SIDES),
    hiddenFrom: layer.take("hidden_from", isAngle, "0 ... 90", 20),
  };
}

/** Reads values from a JSON object and reports where one is invalid. */
class Reader {
  private readonly values: Record<string, unknown>;

  constructor(
    value: unknown,
    keys: readonly string[],
    private readonly file: string,
    private readonly prefix: string,
    private readonly path = "",
  ) {
    if (!isRecord(value)) throw this.wrong("", "{...}");
    this.values = value;
    const extra = Object.keys(value).find((key) => !keys.includes(key));
    if (extra !== undefined) {
      throw new UserError("pack.unknown", { file, where: this.where(extra.slice(0, 40)), known: keys.join(", ") });
    }
  }

  /** Return the layer and the key for a message; only the layer, or the whole manifest, if `key` is empty. */
  where(key: string): string {
    if (!key) return this.prefix.replace(", ", "") || "{...}";
    return `${this.prefix}key '${this.path}${key}'`;
  }

  /** Return a value that passes a check, or the default `missing` if the key is absent. */
  take<T>(key: string, check: (value: unknown) => value is T, expected: string, missing?: T): T {
    const { [key]: value = missing } = this.values; // null is a value, and an invalid one
    if (!check(value)) throw this.wrong(key, expected);
    return value;
  }

  /** Return a reader of the object under a key; undefined if the value is not an object. */
  inside(key: string, keys: readonly string[]): Reader | undefined {
    const value = this.values[key];
    return isRecord(value) ? new Reader(value, keys, this.file, this.prefix, `${this.path}${key}.`) : undefined;
  }

  /** Return one of several words; the first if the key is absent, unless it is `required`. */
  choose<T extends string>(key: string, words: readonly T[], required = false): T {
    const { [key]: value = required ? undefined : words[0] } = this.values;
    const word = words.find((each) => each === value);
    if (word === undefined) throw this.wrong(key, words.join(" | "));
    return word;
  }

  /** Return the error for an invalid value. */
  wrong(key: string, expected: string): UserError {
    return new UserError("pack.key", { file: this.file, where: this.where(key), expected });
  }
}

const isString = (value: unknown): value is string => typeof value === "string";
const isText = (value: unknown): value is string => isString(value) && value.length > 0;
const isPackName = (value: unknown): value is string => isText(value) && /^[a-z0-9][a-z0-9_-]*$/.test(value);
const isFrame = (value: unknown): value is string => isText(value) && /^[^/\\:]+\.png$/.test(value);
const isFilledList = (value: unknown): value is unknown[] => Array.isArray(value) && value.length > 0;
const isLayers = (value: unknown): value is unknown[] => isFilledList(value) && value.length <= MAX_LAYERS;
const isFrames = (value: unknown): value is string[] =>
  isFilledList(value) && value.length <= MAX_FRAMES && value.every(isFrame);
const isColour = (value: unknown): value is string => isText(value) && /^#[0-9a-fA-F]{6}$/.test(value);
const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);
const isCount = (value: unknown): value is number => isWhole(value) && value >= 1;
const isFrameTime = (value: unknown): value is number => isNumber(value) && value >= 1;
const isNotNegative = (value: unknown): value is number => isNumber(value) && value >= 0;
const isTurnOn = (value: unknown): value is number => isShare(value) && value > 0;
const isAngle = (value: unknown): value is number => isNotNegative(value) && value <= 90;
const isShare = (value: unknown): value is number => isNumber(value) && value >= 0 && value <= 1;
const isPair = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every(isNumber);
const isAnchors = (value: unknown): value is Record<string, [number, number]> =>
  isRecord(value) && Object.values(value).every(isPair);
