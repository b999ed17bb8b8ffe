/**
 * Face landmarks and stickers in the browser.
 *
 * @packageDocumentation
 */
export type { ScoredBox } from "./boxes";
export type { Effort } from "./detector";
export { type Code, type Details, MESSAGES, UserError } from "./errors";
export type { Face } from "./faces";
export { type Folder, folderAt, folderOf } from "./files";
export type { Box, Matrix, Point, Points } from "./geometry";
export type { Context, Source } from "./image";
export { Landmarker, type LandmarkerOptions, loadLandmarker, openLandmarker } from "./landmarker";
export { ANCHOR_NAMES, CURVES, MEAN_FACE, NUM_POINTS, anchors } from "./landmarks";
export type { Runtime } from "./network";
export { Sticker, combine } from "./stickers/sticker";
export { loadSticker, openSticker, unzipSticker } from "./stickers/packs";
export { type TrackedFace, Tracker, type TrackerOptions } from "./tracking";
export type { Pixels } from "./warp";
export { unzip } from "./archive";
