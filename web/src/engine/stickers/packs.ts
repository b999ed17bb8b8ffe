/** Loading of sticker packs, from an address or an untrusted archive. */
import { unzip } from "../archive";
import { UserError } from "../errors";
import { type Folder, MAX_ARCHIVE_BYTES, MAX_PACK_BYTES, folderAt, folderOf, textOf } from "../files";
import { affine, apply } from "../geometry";
import { MEAN_FACE } from "../head";
import { anchors } from "../landmarks";
import { Paint } from "./makeup";
import { type LayerSpec, MANIFEST_FILE, readManifest } from "./manifest";
import { meshPoints } from "./mesh";
import { Degenerate, fit } from "./placement";
import { Layer, Sticker, type Worn } from "./sticker";
import { Texture, decodePng } from "./texture";

/** Maximum number of pixels of all images of a pack together: a quarter of a gigabyte when decoded. */
const MAX_PIXELS = 32 << 20;

/**
 * Load a sticker and validate its manifest.
 *
 * @param url - Address of the folder of a pack.
 */
export function loadSticker(url: string | URL): Promise<Sticker> {
  return openSticker(folderAt(url));
}

/**
 * Load a sticker from the bytes of a `.zip`.
 *
 * @param bytes - The archive.
 * @param file - Name of the archive in messages.
 */
export async function unzipSticker(bytes: Uint8Array<ArrayBuffer>, file: string): Promise<Sticker> {
  return openSticker(folderOf(file, await unzip(bytes, file, MAX_ARCHIVE_BYTES), MANIFEST_FILE));
}

/** Load a sticker from a folder of any kind. */
export async function openSticker(folder: Folder): Promise<Sticker> {
  const manifest = await folder.read(MANIFEST_FILE);
  if (!manifest) throw new UserError("pack.none", { file: folder.name });
  const where = `${folder.name}/${MANIFEST_FILE}`;
  const spec = readManifest(textOf(manifest, where, MAX_PACK_BYTES), where);
  const names = new Set(spec.layers.flatMap((layer) => ("region" in layer ? [] : layer.frames)));
  // All files at once: while the camera runs, each response waits for a frame.
  const files = new Map(await Promise.all([...names].map(async (name) => [name, await folder.read(name)] as const)));
  const read: Folder = { name: folder.name, read: (name) => Promise.resolve(files.get(name)) };
  const layers: Worn[] = [];
  const budget = { pixels: MAX_PIXELS };
  for (const [index, layer] of spec.layers.entries()) {
    layers.push(
      "region" in layer ? new Paint(layer, spec.maxFaces) : await openLayer(read, layer, index, spec.maxFaces, budget),
    );
  }
  return new Sticker(layers, spec.name, spec.title);
}

/** Read the images of a layer, subtract their pixels from `budget`, and check the anchors against them. */
async function openLayer(
  folder: Folder,
  spec: LayerSpec,
  index: number,
  maxFaces: number,
  budget: { pixels: number },
): Promise<Layer> {
  const frames: Texture[] = [];
  const manifest = `${folder.name}/${MANIFEST_FILE}`;
  const where = `layer ${index}, key 'frames'`;
  for (const name of spec.frames) {
    const [file, bytes] = [`${folder.name}/${name}`, await folder.read(name)];
    if (!bytes) throw new UserError("pack.file", { file });
    if (bytes.length > MAX_PACK_BYTES) {
      throw new UserError("file.large", { file, bytes: bytes.length, max: MAX_PACK_BYTES });
    }
    const frame = new Texture(await decodePng(bytes, file));
    budget.pixels -= frame.width * frame.height;
    if (budget.pixels < 0) throw new UserError("pack.pixels", { file: manifest, where, max: MAX_PIXELS >> 20 });
    frames.push(frame);
  }
  const { width, height } = frames[0]!;
  if (frames.some((frame) => frame.width !== width || frame.height !== height)) {
    throw new UserError("pack.size", { file: manifest, where, width, height });
  }
  for (const [place, [x, y]] of Object.entries(spec.anchors)) {
    if (x >= -0.5 && y >= -0.5 && x <= width && y <= height) continue; // -0.5: left edge of the first pixel
    const key = `layer ${index}, key 'anchors.${place}'`;
    throw new UserError("pack.outside", { file: manifest, where: key, width, height });
  }
  const pixels = pixelsOf(spec);
  if (!pixels) throw new UserError("pack.line", { file: manifest, where: `layer ${index}, key 'anchors'` });
  return new Layer(spec, frames, pixels, maxFaces);
}

/** Return the positions in the layer's images that are fitted to a face; null if they are degenerate. */
function pixelsOf(spec: LayerSpec): Float64Array | null {
  const pixels = Float64Array.from(Object.values(spec.anchors).flat());
  try {
    if (!fit(spec.fit === "face" ? "affine" : spec.fit, pixels, pixels)) return null;
  } catch (error) {
    if (error instanceof Degenerate) return null;
    throw error;
  }
  if (spec.fit !== "face") return pixels;
  // Drawn over the mean face: the anchors determine all points.
  const mean = anchors(MEAN_FACE);
  const places = Float64Array.from(Object.keys(spec.anchors).flatMap((name) => [...mean[name]!]));
  const drawn = affine(places, pixels);
  return drawn && apply(drawn, meshPoints(MEAN_FACE));
}
