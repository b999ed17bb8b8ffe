/**
 * What a user can fix, said in one line.
 *
 * Every message has a code, so that a page can say it in another language.
 */
export const MESSAGES = {
  "file.missing": "{file}: cannot be fetched ({reason}); check the address",
  "file.large": "{file}: {bytes} bytes is too large; a file has at most {most}",
  "zip.damaged": "{file}: a damaged zip archive ({reason}); download it again",
  "zip.encrypted": "{file}: needs a password; pack it again without one",
  "zip.name": "{file}: the name {name} leads out of the archive; pack it again",
  "zip.many": "{file}: holds more than {most} files; pack only what is needed",
  "zip.large": "{file}: unpacks to more than {most} bytes; pack only what is needed",
  "zip.neither":
    "{file}: neither a sticker pack (manifest.json) nor a network (recipe.json, model.onnx); choose another .zip",
  "pack.none": "{file}: no sticker pack; give a .zip that holds manifest.json",
  "pack.file": "{file}: missing in the pack; put it in or fix the manifest",
  "pack.json": "{file}: not valid JSON ({reason}); fix that place",
  "pack.key": "{file}: {where}: must be {expected}",
  "pack.unknown": "{file}: {where}: unknown; the keys are {known}",
  "pack.place": "{file}: {where}: no place is called {name}; take one of {known}",
  "pack.few": "{file}: {where}: fit {fit} needs {least}, not {count}",
  "pack.outside": "{file}: {where}: lies outside the {width}x{height} image",
  "pack.line": "{file}: {where}: coincide or lie on one line; move them apart",
  "pack.size": "{file}: {where}: the images differ in size; make all {width}x{height}",
  "pack.pixels": "{file}: {where}: more than {most} million pixels; shrink the images",
  "png.not": "{file}: not a PNG; save it as one",
  "png.large": "{file}: {width}x{height} pixels are too many; shrink it to at most {most} a side",
  "png.opaque": "{file}: has no transparency; export it as a PNG with an alpha channel",
  "png.damaged": "{file}: a damaged PNG; export it again",
  "network.none": "{file}: no network; give the folder that tools/export.py wrote, or a .zip of it",
  "network.recipe": "{file}: its recipe is damaged ({reason}); export the network again",
  "network.format": "{file}: not a network of facekp (format {wanted}); export it again",
  "network.finds": "{file}: a network that finds {finds}, not {wanted}; choose another",
  "network.points": "{file}: finds {count} points; the browser needs a network of {wanted}",
  "network.pixels": "{file}: wants the transform {type}, which the browser does not have; train without it",
  "network.run": "{file}: ONNX Runtime cannot run it ({reason}); export it again",
  "network.shape": "{file}: its outputs do not fit its recipe; export it again",
  "image.damaged": "{file}: not an image that this browser can show, or damaged; choose another",
  "image.empty": "{file}: an empty image; choose another",
  "wasm.missing": "this browser has no WebAssembly with SIMD; update it, or use another browser",
} as const;

/** Which message. */
export type Code = keyof typeof MESSAGES;

/** What stands between the braces of a message. */
export type Details = Record<string, string | number>;

/** An error that the user can fix; the message says what and how. */
export class UserError extends Error {
  constructor(
    readonly code: Code,
    readonly details: Details = {},
  ) {
    super(fillIn(MESSAGES[code], details));
    this.name = "UserError";
  }
}

/** Put details between the braces of a message. */
export function fillIn(message: string, details: Details): string {
  return message.replace(/\{(\w+)\}/g, (whole, key: string) => String(details[key] ?? whole));
}

/** The first line of whatever was thrown, cut to a length that fits into a message. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const line = text.split("\n", 1)[0]?.trim() ?? "";
  return line.length > 160 ? `${line.slice(0, 157)}...` : line || "no reason given";
}
