/** Folders of files: at an address, or in memory. */
import { UserError, reasonOf } from "./errors";

/** Maximum size in bytes of a file of a sticker pack, packed or unpacked. */
export const MAX_PACK_BYTES = 32 * 1024 * 1024;

/** Maximum size in bytes of a file of a network. */
export const MAX_NETWORK_BYTES = 256 * 1024 * 1024;

/** Maximum total size in bytes of the unpacked files of an archive. */
export const MAX_ARCHIVE_BYTES = 256 * 1024 * 1024;

/** Maximum size in bytes of a network's recipe. */
export const MAX_RECIPE_BYTES = 4 * 1024 * 1024;

/** A folder whose files are read by name. */
export interface Folder {
  /** Name of the folder in messages. */
  readonly name: string;
  /** Return the bytes of a file; undefined if there is no file of that name. */
  read(file: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
}

/** Decode the text of a file of at most `maxBytes` bytes; `file` is its name in messages. */
export function textOf(bytes: Uint8Array, file: string, maxBytes: number): string {
  if (bytes.byteLength > maxBytes) throw new UserError("file.large", { file, bytes: bytes.byteLength, max: maxBytes });
  return new TextDecoder().decode(bytes);
}

/** Return the folder at an address. */
export function folderAt(url: string | URL): Folder {
  const page = globalThis.location?.href;
  const base = new URL(String(url).replace(/\/*$/, "/"), page);
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

/** Return a folder of files in memory, such as those of an archive; its root is the folder with the file `marker`. */
export function folderOf(name: string, files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>, marker: string): Folder {
  const roots = [...files.keys()].filter((path) => path === marker || path.endsWith(`/${marker}`));
  roots.sort((a, b) => a.length - b.length);
  const root = roots[0]?.slice(0, -marker.length) ?? "";
  return { name, read: (file) => Promise.resolve(files.get(root + file)) };
}

/** Read files that the user chose or dropped, at most `maxBytes` bytes each. */
export async function filesOf(
  chosen: readonly File[],
  maxBytes: number,
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const file of chosen) {
    if (file.size > maxBytes) throw new UserError("file.large", { file: file.name, bytes: file.size, max: maxBytes });
    try {
      files.set(file.webkitRelativePath || file.name, new Uint8Array(await file.arrayBuffer()));
    } catch (error) {
      throw new UserError("file.missing", { file: file.name, reason: reasonOf(error) });
    }
  }
  return files;
}
