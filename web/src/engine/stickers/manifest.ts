/** The words of a sticker pack's `manifest.json`, and what is said when one of them is wrong. */
import { UserError, reasonOf } from "../errors";
import { ANCHOR_NAMES } from "../landmarks";
import { isNumber, isRecord } from "../recipe";

export const MANIFEST_FILE = "manifest.json";

const FITS = ["similarity", "affine", "mesh"] as const;
const BLENDS = ["normal", "multiply", "screen"] as const;
const TRIGGERS = ["always", "mouth_open"] as const;
const COVERS = ["nothing", "face"] as const;

export type Fit = (typeof FITS)[number];
export type Blend = (typeof BLENDS)[number];

/** How many anchors each fit needs at least. */
const LEAST_ANCHORS: Record<Fit, number> = { similarity: 2, affine: 3, mesh: 4 };

/** One picture, or a sequence of pictures, tied to the face. */
export interface LayerSpec {
  readonly name: string;
  /** PNG files of the pack, shown one after the other, over and over. */
  readonly frames: readonly string[];
  readonly frameMs: number;
  /** Place of the face -> its x, y in pixels of the PNG. */
  readonly anchors: Readonly<Record<string, readonly [number, number]>>;
  readonly fit: Fit;
  /** Lower layers are drawn first, across all stickers of a face. */
  readonly order: number;
  readonly opacity: number;
  readonly blend: Blend;
  readonly trigger: (typeof TRIGGERS)[number];
  /** What hides the layer where they overlap. */
  readonly behind: (typeof COVERS)[number];
}

/** A sticker: who drew it, and its layers. */
export interface PackSpec {
  readonly name: string;
  readonly title: string;
  readonly author: string;
  readonly licence: string;
  /** How many faces wear it at most, the largest first. */
  readonly maxFaces: number;
  readonly layers: readonly LayerSpec[];
}

const PACK_KEYS = ["$schema", "name", "title", "author", "licence", "max_faces", "layers"];
const LAYER_KEYS = [
  ...["name", "frames", "frame_ms", "anchors", "fit", "order", "opacity", "blend", "trigger", "behind"],
];

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
  const layers = pack.take("layers", isFilledList, "[layer, ...]");
  return {
    name: pack.take("name", isPackName, "a-z 0-9 _ -"),
    title: pack.take("title", isText, '"text"'),
    author: pack.take("author", isText, '"text"'),
    licence: pack.take("licence", isText, '"text"'),
    maxFaces: pack.take("max_faces", isCount, "1, 2, ...", 100),
    layers: layers.map((layer, index) => readLayer(layer, index, file)),
  };
}

function readLayer(value: unknown, index: number, file: string): LayerSpec {
  const layer = new Reader(value, LAYER_KEYS, file, `layer ${index}, `);
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
  return {
    name: layer.take("name", isText, '"text"'),
    frames: layer.take("frames", isFrames, '["NAME.png", ...]'),
    frameMs: layer.take("frame_ms", isPositive, "> 0", 100),
    anchors,
    fit,
    order: layer.take("order", isWhole, "0, 1, ...", 0),
    opacity: layer.take("opacity", isShare, "0 ... 1", 1),
    blend: layer.choose("blend", BLENDS),
    trigger: layer.choose("trigger", TRIGGERS),
    behind: layer.choose("behind", COVERS),
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
  ) {
    if (!isRecord(value)) throw this.wrong("(the whole)", "{...}");
    this.values = value;
    const odd = Object.keys(value).find((key) => !keys.includes(key));
    if (odd !== undefined) {
      throw new UserError("pack.unknown", { file, where: this.where(odd.slice(0, 40)), known: keys.join(", ") });
    }
  }

  /** Layer and key. */
  where(key: string): string {
    return `${this.prefix}key '${key}'`;
  }

  /** A value that passes a check; the default where there is none. */
  take<T>(key: string, check: (value: unknown) => value is T, expected: string, missing?: T): T {
    const value = this.values[key] ?? missing;
    if (!check(value)) throw this.wrong(key, expected);
    return value;
  }

  /** One of several words; the first where there is none. */
  choose<T extends string>(key: string, words: readonly T[]): T {
    const value = this.values[key] ?? words[0];
    const word = words.find((each) => each === value);
    if (word === undefined) throw this.wrong(key, words.join(" | "));
    return word;
  }

  private wrong(key: string, expected: string): UserError {
    return new UserError("pack.key", { file: this.file, where: this.where(key), expected });
  }
}

const isText = (value: unknown): value is string => typeof value === "string" && value.length > 0;
const isPackName = (value: unknown): value is string => isText(value) && /^[a-z0-9][a-z0-9_-]*$/.test(value);
const isFrame = (value: unknown): value is string => isText(value) && /^[^/\\:]+\.png$/.test(value);
const isFilledList = (value: unknown): value is unknown[] => Array.isArray(value) && value.length > 0;
const isFrames = (value: unknown): value is string[] => isFilledList(value) && value.every(isFrame);
const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);
const isCount = (value: unknown): value is number => isWhole(value) && value >= 1;
const isPositive = (value: unknown): value is number => isNumber(value) && value > 0;
const isShare = (value: unknown): value is number => isNumber(value) && value >= 0 && value <= 1;
const isPair = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every(isNumber);
const isAnchors = (value: unknown): value is Record<string, [number, number]> =>
  isRecord(value) && Object.values(value).every(isPair);
