/** Face boxes and the grids of cells that predict them. */
import type { Box } from "./geometry";

/** A face box and its confidence score, 0 to 1. */
export interface ScoredBox {
  readonly box: Box;
  readonly score: number;
}

/** Side length of the cells of each grid, in pixels. */
const STRIDES = [8, 16, 32] as const;

/** Intersection over union above which two boxes count as the same face. */
export const SAME_FACE = 0.4;

/** Part of a face: minimum fraction of its box inside the face's, and maximum area as a fraction of the face's box. */
const [PART_INSIDE, PART_AREA] = [0.7, 0.35];

/** Maximum number of cells that become boxes, highest scores first; a face has several of them. */
const MAX_CANDIDATES = 500;

/** Return the number of cells in the three grids of an image whose sides are multiples of 32 pixels. */
export function countCells(width: number, height: number): number {
  return STRIDES.reduce((sum, stride) => sum + (width / stride) * (height / stride), 0);
}

/** Return the area of a box in square pixels; 0 for an empty box. */
export function area([x0, y0, x1, y1]: Box): number {
  return Math.max(x1 - x0, 0) * Math.max(y1 - y0, 0);
}

/** Return the intersection over union of two boxes. */
export function iou(a: Box, b: Box): number {
  const shared = overlap(a, b);
  return shared / Math.max(area(a) + area(b) - shared, 1e-9);
}

/** Return whether `a` is a part of the face `b`, such as nose and mouth. */
export function isPart(a: Box, b: Box): boolean {
  return overlap(a, b) > PART_INSIDE * Math.max(area(a), 1e-9) && area(a) < PART_AREA * area(b);
}

function overlap(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return Math.max(width, 0) * Math.max(height, 0);
}

/**
 * Return the faces of one image, best first: boxes of its cells after non-maximum suppression.
 *
 * @param outputs - Five numbers per cell: logit of the score, and the distances in pixels from the cell's centre to the
 * left, upper, right and lower side of the face's box.
 * @param width - Width of the network's input, a multiple of 32 pixels.
 * @param height - Height of the network's input, a multiple of 32 pixels.
 * @param minScore - Minimum score of a cell.
 */
export function chooseBoxes(outputs: Float32Array, width: number, height: number, minScore: number): ScoredBox[] {
  const minLogit = Math.log(minScore / (1 - minScore));
  const found: ScoredBox[] = [];
  let cell = 0;
  for (const stride of STRIDES) {
    for (let row = 0; row < Math.floor(height / stride); row++) {
      for (let column = 0; column < Math.floor(width / stride); column++, cell += 5) {
        if (outputs[cell]! < minLogit) continue;
        // The centre of the top left pixel is (0, 0), so the image begins half a pixel before it.
        const [x, y] = [(column + 0.5) * stride - 0.5, (row + 0.5) * stride - 0.5];
        const [left, up, right, down] = outputs.subarray(cell + 1, cell + 5);
        const box: Box = [x - left!, y - up!, x + right!, y + down!];
        found.push({ box, score: 1 / (1 + Math.exp(-outputs[cell]!)) });
      }
    }
  }
  found.sort((a, b) => b.score - a.score);
  return suppressOverlaps(found.slice(0, MAX_CANDIDATES), SAME_FACE);
}

/**
 * Return the highest-scoring box of each cluster (non-maximum suppression), best first.
 *
 * @param found - Boxes, in any order.
 * @param maxIou - Maximum intersection over union of two chosen boxes.
 */
export function suppressOverlaps<T extends ScoredBox>(found: readonly T[], maxIou: number): T[] {
  const kept: T[] = [];
  for (const candidate of [...found].sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => iou(candidate.box, other.box) <= maxIou)) kept.push(candidate);
  }
  return kept;
}
