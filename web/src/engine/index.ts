/**
 * Face landmarks and stickers in the browser.
 *
 * @packageDocumentation
 */
export type { ScoredBox } from "./boxes";
export type { Effort } from "./detector";
export { type Code, type Details, MESSAGES, UserError } from "./errors";
export type { Face } from "./faces";
export {
  type Folder,
  MAX_ARCHIVE_BYTES,
  MAX_NETWORK_BYTES,
  MAX_PACK_BYTES,
  MAX_RECIPE_BYTES,
  filesOf,
  folderAt,
  folderOf,
  textOf,
} from "./files";
export type { Box, Matrix, Point, Points } from "./geometry";
export { type Context, type Source, contextOf, createCanvas } from "./image";
export { Landmarker, type LandmarkerOptions, loadLandmarker, openLandmarker } from "./landmarker";
export { MEAN_FACE } from "./head";
export { ANCHOR_NAMES, CURVES, NUM_POINTS, anchors } from "./landmarks";
export { MODEL_FILE, RECIPE_FILE } from "./network";
export { type Camera, type Pose, headPose } from "./pose";
export { type BoxesRecipe, type PointsRecipe, type Recipe, readRecipe } from "./recipe";
export type { Backend, Runtime } from "./runtime";
export { AVERAGE_REST, SIGNAL_NAMES, type SignalName, measure, signalsOf } from "./signals";
export { Layer, Sticker, type Worn, combine } from "./stickers/sticker";
export { MANIFEST_FILE } from "./stickers/manifest";
export { loadSticker, openSticker, unzipSticker } from "./stickers/packs";
export { OneEuro, type TrackedFace, Tracker, type TrackerOptions } from "./tracking";
export type { Pixels } from "./warp";
export { unzip } from "./archive";
