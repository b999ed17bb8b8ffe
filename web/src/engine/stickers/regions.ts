/** Regions of a face for make-up, as outlines made of its points. */
import type { Points } from "../geometry";
import { part } from "../landmarks";

/** Half the height of a brow, as a fraction of the width of the face seen from the front. */
const BROW = 0.021;

/** Factor of that height at the points of a brow, from its outer end to the inner one. */
const TAPER = [0.3, 0.8, 1, 1, 0.8];

const brow =
  (...indices: readonly number[]) =>
  (points: Points, width: number): Points[] => {
    const line = indices.map((index) => [points[2 * index]!, points[2 * index + 1]!] as const);
    const [first, last] = [line[0]!, line.at(-1)!];
    const [dx, dy] = [last[0] - first[0], last[1] - first[1]];
    const half = (BROW * width) / Math.max(Math.hypot(dx, dy), 1e-6);
    const edge = (sign: number) =>
      line.map(([x, y], i) => [x + sign * half * TAPER[i]! * dy, y - sign * half * TAPER[i]! * dx]);
    return [Float64Array.from([...edge(1), ...edge(-1).reverse()].flat())];
  };

/**
 * Name -> function from 68 points and the width of the face seen from the front to the outline and, optionally, that of
 * a hole in it. A new region is one entry.
 */
export const REGIONS = {
  lips: (points: Points): Points[] => [part(points, [48, 60]), part(points, [60, 68])],
  left_brow: brow(17, 18, 19, 20, 21),
  right_brow: brow(26, 25, 24, 23, 22),
};

/** Name of a region. */
export type Region = keyof typeof REGIONS;

/** Names of all regions. */
export const REGION_NAMES = Object.keys(REGIONS) as Region[];
