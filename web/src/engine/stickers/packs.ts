/** Loading sticker packs, from an address or out of a stranger's archive. */
import { unzip } from "../archive";
import { UserError } from "../errors";
import { type Folder, MAX_PACK_BYTES, folderAt, folderOf } from "../files";
import { type LayerSpec, MANIFEST_FILE, readManifest } from "./manifest";
import { Degenerate, fit } from "./placement";
import { type Layer, Sticker } from "./sticker";
import { Texture, decodePng } from "./texture";

/**
 * Load a sticker and check every word of its manifest.
 *
 * @param url - Address of a pack's folder.
 */
export function loadSticker(url: string | URL): Promise<Sticker> {
  return openSticker(folderAt(url));
}

/**
 * The same from the bytes of a `.zip`.
 *
 * @param bytes - The archive.
 * @param file - What messages call it.
 */
export async function unzipSticker(bytes: Uint8Array<ArrayBuffer>, file: string): Promise<Sticker> {
  return openSticker(folderOf(file, await unzip(bytes, file, 2 * MAX_PACK_BYTES), MANIFEST_FILE));
}

/** The same from a folder of any kind. */
export async function openSticker(folder: Folder): Promise<Sticker> {
  const manifest = await folder.read(MANIFEST_FILE);
  if (!manifest) throw new UserError("pack.none", { file: folder.name });
  const spec = readManifest(new TextDecoder().decode(manifest), `${folder.name}/${MANIFEST_FILE}`);
  const layers: Layer[] = [];
  for (const [index, layer] of spec.layers.entries()) {
    layers.push({ ...(await openLayer(folder, layer, index)), maxFaces: spec.maxFaces });
  }
  return new Sticker(layers, spec.name, spec.title);
}

/** Read a layer's pictures and check its anchors against them. */
async function openLayer(folder: Folder, spec: LayerSpec, index: number): Promise<Omit<Layer, "maxFaces">> {
  const frames: Texture[] = [];
  for (const name of spec.frames) {
    const [file, bytes] = [`${folder.name}/${name}`, await folder.read(name)];
    if (!bytes) throw new UserError("pack.file", { file });
    if (bytes.length > MAX_PACK_BYTES) {
      throw new UserError("file.large", { file, bytes: bytes.length, most: MAX_PACK_BYTES });
    }
    frames.push(new Texture(await decodePng(bytes, file)));
  }
  const file = `${folder.name}/${MANIFEST_FILE}`;
  const { width, height } = frames[0]!;
  if (frames.some((frame) => frame.width !== width || frame.height !== height)) {
    throw new UserError("pack.size", { file, where: `layer ${index}, key 'frames'`, width, height });
  }
  for (const [place, [x, y]] of Object.entries(spec.anchors)) {
    if (x >= 0 && y >= 0 && x <= width && y <= height) continue;
    throw new UserError("pack.outside", { file, where: `layer ${index}, key 'anchors.${place}'`, width, height });
  }
  const pixels = Float64Array.from(Object.values(spec.anchors).flat());
  if (!fits(spec, pixels)) throw new UserError("pack.line", { file, where: `layer ${index}, key 'anchors'` });
  return { ...spec, frames };
}

function fits(spec: LayerSpec, pixels: Float64Array): boolean {
  try {
    return fit(spec.fit, pixels, pixels) !== null;
  } catch (error) {
    if (error instanceof Degenerate) return false;
    throw error;
  }
}
