/** Face boxes and the grids of cells that predict them. */
import type { Box } from "./geometry";

/** A face box and how far to trust it, 0 to 1. */
export interface ScoredBox {
  readonly box: Box;
  readonly score: number;
}

/** Sides in pixels of the cells of the three grids. */
const STRIDES = [8, 16, 32] as const;

/** Boxes that share more than this part of their union are taken for the same face. */
export const SAME_FACE = 0.4;

/** What lies inside of a face's box by more than this part, and is smaller than this part of it, is a part of that face. */
const [INSIDE, SMALLER] = [0.7, 0.35];

/** Cells of an image that are looked at, the best ones; a face has several. */
const MOST_CANDIDATES = 500;

/** Cells of the three grids of an image whose sides are whole numbers of 32 pixels. */
export function countCells(width: number, height: number): number {
  return STRIDES.reduce((sum, stride) => sum + (width / stride) * (height / stride), 0);
}

/** In square pixels; 0 if a box has no inside. */
export function area([x0, y0, x1, y1]: Box): number {
  return Math.max(x1 - x0, 0) * Math.max(y1 - y0, 0);
}

/** Intersection over union. */
export function iou(a: Box, b: Box): number {
  const shared = overlap(a, b);
  return shared / Math.max(area(a) + area(b) - shared, 1e-9);
}

/** Whether `a` is a part of the face `b`, such as its nose and mouth. */
export function isPart(a: Box, b: Box): boolean {
  return overlap(a, b) > INSIDE * Math.max(area(a), 1e-9) && area(a) < SMALLER * area(b);
}

function overlap(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return Math.max(width, 0) * Math.max(height, 0);
}

/**
 * The faces that a detector's cells agree on, the best first.
 *
 * @param outputs - Five numbers a cell: logit of the score, reach to the left, up, right and down.
 * @param width - Of the image as the network saw it, a whole number of 32 pixels.
 * @param height - As well.
 * @param leastScore - Cells with lower scores are left out.
 */
export function chooseBoxes(outputs: Float32Array, width: number, height: number, leastScore: number): ScoredBox[] {
  const leastLogit = Math.log(leastScore / (1 - leastScore));
  const found: ScoredBox[] = [];
  let cell = 0;
  for (const stride of STRIDES) {
    for (let row = 0; row < Math.floor(height / stride); row++) {
      for (let column = 0; column < Math.floor(width / stride); column++, cell += 5) {
        if (outputs[cell]! < leastLogit) continue;
        // The centre of the top left pixel is (0, 0), so the image begins half a pixel before.
        const [x, y] = [(column + 0.5) * stride - 0.5, (row + 0.5) * stride - 0.5];
        const [left, up, right, down] = outputs.subarray(cell + 1, cell + 5);
        const box: Box = [x - left!, y - up!, x + right!, y + down!];
        found.push({ box, score: 1 / (1 + Math.exp(-outputs[cell]!)) });
      }
    }
  }
  found.sort((a, b) => b.score - a.score);
  return suppressOverlaps(found.slice(0, MOST_CANDIDATES), SAME_FACE);
}

/**
 * The best-scored box of each cluster (non-maximum suppression), the best first.
 *
 * @param found - Boxes, in any order.
 * @param most - Largest intersection over union that two of them may have.
 */
export function suppressOverlaps<T extends ScoredBox>(found: readonly T[], most: number): T[] {
  const kept: T[] = [];
  for (const candidate of [...found].sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => iou(candidate.box, other.box) <= most)) kept.push(candidate);
  }
  return kept;
}
