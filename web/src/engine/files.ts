/** Folders of files: at an address, or in the memory. */
import { UserError, reasonOf } from "./errors";

/** No file of a pack may be larger, packed or unpacked. */
export const MAX_PACK_BYTES = 32 * 1024 * 1024;

/** No file of a network may be larger. */
export const MAX_NETWORK_BYTES = 256 * 1024 * 1024;

/** Nor its recipe. */
export const MAX_RECIPE_BYTES = 4 * 1024 * 1024;

/** Files by name. */
export interface Folder {
  /** What messages call it. */
  readonly name: string;
  /** The bytes of a file; undefined if there is none of that name. */
  read(file: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
}

/** A file's text, if the file has no more than `most` bytes; `file` is what messages call it. */
export function textOf(bytes: Uint8Array, file: string, most: number): string {
  if (bytes.byteLength > most) throw new UserError("file.large", { file, bytes: bytes.byteLength, most });
  return new TextDecoder().decode(bytes);
}

/** The files below an address. */
export function folderAt(url: string | URL): Folder {
  const here = globalThis.location?.href;
  const base = new URL(String(url).replace(/\/*$/, "/"), here);
  const name = base.pathname.split("/").at(-2) ?? base.pathname;
  return {
    name,
    async read(file) {
      const address = new URL(encodeURIComponent(file), base);
      let response: Response;
      try {
        response = await fetch(address);
      } catch (error) {
        throw new UserError("file.missing", { file: `${name}/${file}`, reason: reasonOf(error) });
      }
      if (response.status === 404) return undefined;
      if (!response.ok) throw new UserError("file.missing", { file: `${name}/${file}`, reason: response.status });
      return new Uint8Array(await response.arrayBuffer());
    },
  };
}

/** Files in the memory, such as those of an archive; the folder that holds the file `marker` counts as the top. */
export function folderOf(name: string, files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>, marker: string): Folder {
  const homes = [...files.keys()].filter((path) => path === marker || path.endsWith(`/${marker}`));
  homes.sort((a, b) => a.length - b.length);
  const home = homes[0]?.slice(0, -marker.length) ?? "";
  return { name, read: (file) => Promise.resolve(files.get(home + file)) };
}

/** The same from files that the user chose or dropped. */
export async function filesOf(chosen: readonly File[], most: number): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const file of chosen) {
    if (file.size > most) throw new UserError("file.large", { file: file.name, bytes: file.size, most });
    try {
      files.set(file.webkitRelativePath || file.name, new Uint8Array(await file.arrayBuffer()));
    } catch (error) {
      throw new UserError("file.missing", { file: file.name, reason: reasonOf(error) });
    }
  }
  return files;
}
