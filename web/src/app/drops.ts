/** Files that were dropped, pasted or chosen, and their kinds. */

/** Kind of a file. */
type Kind = "photo" | "video" | "zip" | "folder" | "unknown";

/** A file, or the files of a folder. */
export interface Drop {
  readonly kind: Kind;
  readonly name: string;
  readonly files: File[];
}

/** Return the kind of a single file. */
export function kindOf(file: File): Kind {
  if (file.type.startsWith("image/")) return "photo";
  if (file.type.startsWith("video/")) return "video";
  return /^application\/(x-)?zip\b/.test(file.type) || /\.zip$/i.test(file.name) ? "zip" : "unknown";
}

/** Return what was dropped or pasted; undefined if there is no file. */
export async function dropOf(transfer: DataTransfer | null): Promise<Drop | undefined> {
  const entries = [...(transfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.()).filter((entry) => !!entry);
  const folder = entries.find((entry) => entry.isDirectory);
  if (folder) return { kind: "folder", name: folder.name, files: await filesIn(folder as FileSystemDirectoryEntry) };
  const file = transfer?.files[0];
  return file && { kind: kindOf(file), name: file.name, files: [file] };
}

/** Return the files of a folder, without those of its subfolders. */
async function filesIn(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed));
    if (!entries.length) return files;
    for (const entry of entries.filter((each) => each.isFile)) {
      files.push(await new Promise<File>((done, failed) => (entry as FileSystemFileEntry).file(done, failed)));
    }
  }
}
