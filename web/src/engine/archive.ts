/** Unpacking of untrusted `.zip` archives: names, sizes and checksums are verified. */
import { ERR_UNSAFE_FILENAME, type Entry, Uint8ArrayReader, ZipReader } from "@zip.js/zip.js";
import { UserError, reasonOf } from "./errors";

/** Maximum number of files: a pack of more frames would have fewer than 90 x 90 pixels for each; see `MAX_PIXELS`. */
const MAX_FILES = 4096;

/**
 * Unpack an archive into memory.
 *
 * @param bytes - The archive.
 * @param file - Name of the archive in messages.
 * @param maxBytes - Maximum total size of the unpacked files, in bytes.
 */
export async function unzip(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  maxBytes: number,
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const reader = new ZipReader(new Uint8ArrayReader(bytes), { checkSignature: true, useWebWorkers: false });
  try {
    const entries: Entry[] = [];
    for await (const entry of reader.getEntriesGenerator()) {
      if (entries.push(entry) > MAX_FILES) throw new UserError("zip.many", { file, max: MAX_FILES });
    }
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    let left = maxBytes;
    for (const entry of entries) {
      if (isOutside(entry.filename)) throw new UserError("zip.name", { file, name: entry.filename.slice(0, 80) });
      if (entry.directory) continue;
      if (entry.encrypted) throw new UserError("zip.encrypted", { file });
      const unpacked = await readEntry(entry, file, left, maxBytes);
      left -= unpacked.byteLength;
      files.set(entry.filename, unpacked);
    }
    return files;
  } catch (error) {
    if (error instanceof UserError) throw error;
    const { message, filename } = error as { message?: string; filename?: string };
    if (message === ERR_UNSAFE_FILENAME) throw new UserError("zip.name", { file, name: String(filename).slice(0, 80) });
    throw new UserError("zip.damaged", { file, reason: reasonOf(error) });
  } finally {
    await reader.close();
  }
}

/** Unpack one file, at most `left` bytes regardless of the size that the archive declares. */
async function readEntry(
  entry: Exclude<Entry, { directory: true }>,
  file: string,
  left: number,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = (bytes: number) =>
    bytes > maxBytes
      ? new UserError("file.large", { file: `${file}/${entry.filename}`, bytes, max: maxBytes })
      : new UserError("zip.large", { file, max: maxBytes });
  if (entry.uncompressedSize > left) throw tooLarge(entry.uncompressedSize);
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const collector = new WritableStream<Uint8Array<ArrayBuffer>>({
    write(chunk) {
      size += chunk.byteLength;
      if (size > left) throw tooLarge(size);
      chunks.push(chunk);
    },
  });
  await entry.getData(collector);
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Return whether a file name could lead out of the folder that an archive is unpacked into. */
function isOutside(name: string): boolean {
  return /^[/\\]|^[a-z]:|\\|\0/i.test(name) || name.split("/").includes("..");
}
