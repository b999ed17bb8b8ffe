/** Three-dimensional model of an average head. */
import { mean } from "./geometry";
import places from "./places.json";

/** Mean face of 68 points; its box is 1 wide, with its top left corner at the origin. */
// prettier-ignore
export const MEAN_FACE = Float64Array.of(
  0.000, 0.174, 0.004, 0.306, 0.019, 0.437, 0.046, 0.565, 0.098, 0.684, 0.176, 0.788, 0.272, 0.875, 0.379, 0.945,
  0.500, 0.965, 0.621, 0.945, 0.728, 0.875, 0.824, 0.788, 0.902, 0.684, 0.954, 0.565, 0.981, 0.437, 0.996, 0.306,
  1.000, 0.174, 0.097, 0.070, 0.159, 0.016, 0.244, 0.000, 0.333, 0.012, 0.417, 0.045, 0.583, 0.045, 0.667, 0.012,
  0.756, 0.000, 0.841, 0.016, 0.903, 0.070, 0.500, 0.150, 0.500, 0.236, 0.500, 0.321, 0.500, 0.409, 0.400, 0.467,
  0.448, 0.485, 0.500, 0.501, 0.552, 0.485, 0.600, 0.467, 0.197, 0.163, 0.250, 0.132, 0.315, 0.133, 0.370, 0.175,
  0.310, 0.187, 0.246, 0.186, 0.630, 0.175, 0.685, 0.133, 0.750, 0.132, 0.803, 0.163, 0.754, 0.186, 0.690, 0.187,
  0.308, 0.630, 0.378, 0.599, 0.450, 0.584, 0.500, 0.596, 0.550, 0.584, 0.622, 0.599, 0.692, 0.630, 0.624, 0.698,
  0.554, 0.728, 0.500, 0.733, 0.446, 0.728, 0.376, 0.698, 0.338, 0.633, 0.450, 0.627, 0.500, 0.632, 0.550, 0.627,
  0.662, 0.633, 0.551, 0.663, 0.500, 0.669, 0.449, 0.663,
);

// The left half; the right half mirrors it.
const JAW = [-0.18, -0.16, -0.13, -0.08, 0, 0.09, 0.19, 0.27];
const BROW = [0.21, 0.27, 0.32, 0.37, 0.39];
const LIPS_OUTER = [0.29, 0.36, 0.41];
const LIPS_INNER = [0.32, 0.39];

const mirror = (values: readonly number[]) => [...values].reverse();

/** Depth of each of the 68 points in front of the ears, in units of `MEAN_FACE`. */
// prettier-ignore
export const DEPTH = Float64Array.of(
  ...JAW, 0.31, ...mirror(JAW), ...BROW, ...mirror(BROW),
  0.40, 0.44, 0.50, 0.55, 0.41, 0.44, 0.46, 0.44, 0.41,
  0.25, 0.27, 0.28, 0.28, 0.28, 0.27, 0.28, 0.28, 0.27, 0.25, 0.27, 0.28,
  ...LIPS_OUTER, 0.42, ...mirror(LIPS_OUTER), 0.36, 0.39, 0.40, 0.39, 0.36,
  ...LIPS_INNER, 0.41, ...mirror(LIPS_INNER), 0.39, 0.40, 0.39,
);

/** x, y, depth in units of `MEAN_FACE`. */
export type Place = readonly [number, number, number];

/** A point of the average head. */
export function headPoint(index: number): Place {
  return [MEAN_FACE[2 * index]!, MEAN_FACE[2 * index + 1]!, DEPTH[index]!];
}

/** Places of the head without landmarks. */
export const HEAD_PLACES = places.head as unknown as Readonly<Record<string, Place>>;

/** Midpoint between the eyes. */
export const EYES_MIDDLE: Place = [
  ...mean(MEAN_FACE.subarray(72, 96)),
  DEPTH.slice(36, 48).reduce((sum, depth) => sum + depth / 12, 0),
];

/** Order of the points in a mirrored image: its point i is point `MIRRORED[i]` of the original. */
// prettier-ignore
export const MIRRORED: readonly number[] = [
  16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
  27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
  54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
];
