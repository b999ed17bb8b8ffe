/** The keys of a sticker pack's `manifest.json`, and the messages about wrong ones. */
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

/** How many anchors each fit needs at least. */
const LEAST_ANCHORS: Record<Fit, number> = { similarity: 2, affine: 3, mesh: 4, face: 3 };

/** No pack has more layers, no layer more frames. */
const [MOST_LAYERS, MOST_FRAMES] = [32, 1000];

/** What every layer has. */
interface WornSpec {
  /** What messages call the layer. */
  readonly name: string;
  /** Lower layers are drawn first, across all stickers of a face. */
  readonly order: number;
  /** When the layer is shown; undefined: always. */
  readonly trigger?: Trigger;
  readonly opacity: number;
}

/** One image, or a sequence of images, tied to the face. */
export interface LayerSpec extends WornSpec {
  /** PNG files of the pack, shown one after the other, over and over. */
  readonly frames: readonly string[];
  readonly frameMs: number;
  /** Place of the face -> its x, y in pixels of the PNG. */
  readonly anchors: Readonly<Record<string, readonly [number, number]>>;
  readonly fit: Fit;
  readonly blend: Blend;
  /** What hides the layer where they overlap. */
  readonly behind: (typeof COVERS)[number];
  /** Where alone the layer shows. */
  readonly within: (typeof HOLDERS)[number];
  /** The side of the head, as the viewer sees it, that carries the layer. */
  readonly side: Side;
  /** Degrees of yaw from which that side is hidden. */
  readonly hiddenFrom: number;
}

/** Make-up: colour on a part of the face. */
export interface PaintSpec extends WornSpec {
  readonly region: Region;
  /** Red, green, blue, 0 to 255. */
  readonly colour: readonly [number, number, number];
}

/** A sticker: who drew it, and its layers. */
interface PackSpec {
  readonly name: string;
  readonly title: string;
  readonly author: string;
  readonly licence: string;
  /** How many faces wear it at most, the largest first. */
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
 * Read and check a pack's manifest.
 *
 * @param text - JSON.
 * @param file - What messages call it.
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
  const layers = pack.take("layers", isLayers, `[{...}, ...] (1 ... ${MOST_LAYERS})`);
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
  // It has no frames that a burst could play.
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
  const odd = Object.keys(anchors).find((name) => !ANCHOR_NAMES.includes(name));
  if (odd !== undefined) {
    throw new UserError("pack.place", { file, where, name: odd.slice(0, 40), known: ANCHOR_NAMES.join(", ") });
  }
  const count = Object.keys(anchors).length;
  if (count < LEAST_ANCHORS[fit]) {
    throw new UserError("pack.few", { file, where, fit, least: LEAST_ANCHORS[fit], count });
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

/** Takes values out of a JSON object and says where one is wrong. */
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
    const odd = Object.keys(value).find((key) => !keys.includes(key));
    if (odd !== undefined) {
      throw new UserError("pack.unknown", { file, where: this.where(odd.slice(0, 40)), known: keys.join(", ") });
    }
  }

  /** Layer and key; the whole of it without a key. */
  where(key: string): string {
    if (!key) return this.prefix.replace(", ", "") || "{...}";
    return `${this.prefix}key '${this.path}${key}'`;
  }

  /** A value that passes a check; the default where there is none. */
  take<T>(key: string, check: (value: unknown) => value is T, expected: string, missing?: T): T {
    const { [key]: value = missing } = this.values; // null is a value, and a wrong one
    if (!check(value)) throw this.wrong(key, expected);
    return value;
  }

  /** The object that a key holds; undefined if it holds something else. */
  inside(key: string, keys: readonly string[]): Reader | undefined {
    const value = this.values[key];
    return isRecord(value) ? new Reader(value, keys, this.file, this.prefix, `${this.path}${key}.`) : undefined;
  }

  /** One of several words; the first where there is none, unless it is `required`. */
  choose<T extends string>(key: string, words: readonly T[], required = false): T {
    const { [key]: value = required ? undefined : words[0] } = this.values;
    const word = words.find((each) => each === value);
    if (word === undefined) throw this.wrong(key, words.join(" | "));
    return word;
  }

  /** What to throw where a value is wrong. */
  wrong(key: string, expected: string): UserError {
    return new UserError("pack.key", { file: this.file, where: this.where(key), expected });
  }
}

const isString = (value: unknown): value is string => typeof value === "string";
const isText = (value: unknown): value is string => isString(value) && value.length > 0;
const isPackName = (value: unknown): value is string => isText(value) && /^[a-z0-9][a-z0-9_-]*$/.test(value);
const isFrame = (value: unknown): value is string => isText(value) && /^[^/\\:]+\.png$/.test(value);
const isFilledList = (value: unknown): value is unknown[] => Array.isArray(value) && value.length > 0;
const isLayers = (value: unknown): value is unknown[] => isFilledList(value) && value.length <= MOST_LAYERS;
const isFrames = (value: unknown): value is string[] =>
  isFilledList(value) && value.length <= MOST_FRAMES && value.every(isFrame);
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
