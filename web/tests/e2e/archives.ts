/** Zip archives for the tests. */
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from "@zip.js/zip.js";

/** Return a zip archive of files by name; the names are not checked. */
export async function zip(files: Record<string, Buffer>): Promise<Buffer> {
  const writer = new ZipWriter(new Uint8ArrayWriter(), { useWebWorkers: false });
  for (const [name, bytes] of Object.entries(files))
    await writer.add(name, new Uint8ArrayReader(new Uint8Array(bytes)));
  return Buffer.from(await writer.close());
}
