/**
 * Messages of errors that the user can fix, one line each.
 *
 * Every message has a code, so that a page can translate it.
 */
export const MESSAGES = {
  "file.missing": "{file}: cannot be fetched ({reason}); check the address",
  "file.large": "{file}: {bytes} bytes is too large; the maximum is {max}",
  "zip.damaged": "{file}: a damaged zip archive ({reason}); download it again",
  "zip.encrypted": "{file}: needs a password; pack it again without one",
  "zip.name": "{file}: the name {name} leads out of the archive; pack it again",
  "zip.many": "{file}: contains more than {max} files; pack only what is needed",
  "zip.large": "{file}: unpacks to more than {max} bytes; pack only what is needed",
  "zip.neither":
    "{file}: neither a sticker pack (manifest.json) nor a network (recipe.json, model.onnx); choose another .zip",
  "pack.none": "{file}: not a sticker pack; choose a .zip that contains manifest.json",
  "pack.file": "{file}: missing in the pack; put it in or fix the manifest",
  "pack.json": "{file}: not valid JSON ({reason}); fix it",
  "pack.key": "{file}: {where}: must be {expected}",
  "pack.unknown": "{file}: {where}: unknown key; known are {known}",
  "pack.place": "{file}: {where}: unknown anchor {name}; known are {known}",
  "pack.few": "{file}: {where}: fit {fit} needs {min}, not {count}",
  "pack.outside": "{file}: {where}: lies outside the {width}x{height} image",
  "pack.line": "{file}: {where}: coincide or lie on one line; move them apart",
  "pack.size": "{file}: {where}: the images differ in size; make all {width}x{height}",
  "pack.pixels": "{file}: {where}: more than {max} million pixels; shrink the images",
  "png.not": "{file}: not a PNG; save it as one",
  "png.large": "{file}: {width}x{height} pixels are too many; shrink it to at most {max} per side",
  "png.opaque": "{file}: has no transparency; export it as a PNG with an alpha channel",
  "png.damaged": "{file}: a damaged PNG; export it again",
  "network.none": "{file}: not a network; choose the folder that facekp export wrote, or a .zip of it",
  "network.recipe": "{file}: its recipe is damaged ({reason}); export the network again",
  "network.format": "{file}: not a network of facekp (format {wanted}); export it again",
  "network.finds": "{file}: a network that finds {finds}, not {wanted}; choose another",
  "network.points": "{file}: finds {count} points; the browser needs a network of {wanted} points",
  "network.pixels": "{file}: needs the transform {type}, which the browser does not support; train without it",
  "network.run": "{file}: ONNX Runtime cannot run it ({reason}); export it again",
  "network.shape": "{file}: its outputs do not fit its recipe; export it again",
  "image.damaged": "{file}: not an image that this browser can show, or damaged; choose another",
  "image.empty": "{file}: an empty image; choose another",
  "wasm.missing": "this browser has no WebAssembly with SIMD; update it, or use another browser",
} as const;

/** Code of a message. */
export type Code = keyof typeof MESSAGES;

/** Values of the placeholders in a message. */
export type Details = Record<string, string | number>;

/** An error that the user can fix; the message names the cause and the remedy. */
export class UserError extends Error {
  constructor(
    readonly code: Code,
    readonly details: Details = {},
  ) {
    super(fillIn(MESSAGES[code], details));
    this.name = "UserError";
  }
}

/** Replace the placeholders in a message by their values. */
export function fillIn(message: string, details: Details): string {
  return message.replace(/\{(\w+)\}/g, (whole, key: string) => String(details[key] ?? whole));
}

/** Return the first line of a thrown value, truncated to a length that fits into a message. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const line = text.split("\n", 1)[0]?.trim() ?? "";
  return line.length > 160 ? `${line.slice(0, 157)}...` : line || "no reason given";
}
