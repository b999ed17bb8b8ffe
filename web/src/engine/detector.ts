/** Finding faces in whole images. */
import { type ScoredBox, SAME_FACE, chooseBoxes, countCells, suppressOverlaps } from "./boxes";
import { UserError } from "./errors";
import type { Box } from "./geometry";
import { type Network, blank } from "./network";
import type { BoxesRecipe } from "./recipe";
import { type Pixels, resize } from "./warp";

/** How closely to look: for every face, or, in a third of the time, for the large ones. */
export type Effort = "full" | "quick";

/** Anything that finds boxes around where the 68 points will be. */
export type Detector = (image: Pixels, effort: Effort) => Promise<ScoredBox[]>;

/** Longest sides of the image as the network sees it, in pixels, one look for each. */
const LOOKS: Record<Effort, readonly number[]> = { full: [320, 640], quick: [320] };

/** Boxes with a lower score are left out. Low, because the points that are found in a box have their say as well. */
const LEAST_SCORE = 0.3;

/** No look with a border where a box has this score. */
const SURE = 0.6;

/** Longest side of the image in the look with a border, and how wide the border is. */
const BORDERED = { side: 176, border: 72 } as const;

/** Images are enlarged by no more than this. */
const MOST_ENLARGED = 4;

/** The network halves its image so often that its sides are whole numbers of so many pixels. */
const WHOLE = 32;

/**
 * Our own detector: every image is searched at the same sizes, small ones enlarged; where two looks see one face,
 * the better-scored box stays. If none is sure of a face, one more look sees the image small in a wide border: a face
 * that fills the image, or reaches beyond it, is whole there.
 *
 * @param network - Of boxes.
 */
export function createDetector(network: Network<BoxesRecipe>): Detector {
  return async (image, effort) => {
    const most = MOST_ENLARGED * Math.max(image.width, image.height);
    const sides = new Set(LOOKS[effort].map((side) => Math.min(side, most)));
    const found: ScoredBox[] = [];
    for (const side of sides) found.push(...(await look(network, image, side)));
    if (!found.some(({ score }) => score >= SURE)) {
      found.push(...(await look(network, image, Math.min(BORDERED.side, most), BORDERED.border)));
    }
    return suppressOverlaps(found, SAME_FACE);
  };
}

/** Run a detector's network once, to see whether it is one. */
export async function checkDetector(network: Network<BoxesRecipe>): Promise<void> {
  const [cells] = await network.run([blank(2 * WHOLE, 2 * WHOLE)]);
  if (cells?.length !== 5 * countCells(2 * WHOLE, 2 * WHOLE)) {
    throw new UserError("network.shape", { file: network.name });
  }
}

async function look(
  network: Network<BoxesRecipe>,
  image: Pixels,
  longestSide: number,
  border = 0,
): Promise<ScoredBox[]> {
  const scale = longestSide / Math.max(image.width, image.height);
  const width = Math.max(1, roundEven(image.width * scale));
  const height = Math.max(1, roundEven(image.height * scale));
  const padded = pad(resize(image, width, height), border);
  const [cells] = await network.run([padded]);
  const [sx, sy] = [width / image.width, height / image.height];
  return chooseBoxes(cells!, padded.width, padded.height, LEAST_SCORE).map(({ box: [x0, y0, x1, y1], score }) => {
    const x = (place: number) => (place - border + 0.5) / sx - 0.5;
    const y = (place: number) => (place - border + 0.5) / sy - 0.5;
    const box: Box = [x(x0), y(y0), x(x1), y(y1)];
    return { box, score };
  });
}

/** A border of grey around an image, and what is left up to whole numbers of `WHOLE` pixels; without one, of black. */
function pad(image: Pixels, border: number): Pixels {
  const [width, height] = [image.width + 2 * border, image.height + 2 * border];
  const padded = blank(Math.ceil(width / WHOLE) * WHOLE, Math.ceil(height / WHOLE) * WHOLE);
  if (border) padded.data.fill(127);
  for (let row = 0; row < image.height; row++) {
    const line = image.data.subarray(4 * row * image.width, 4 * (row + 1) * image.width);
    padded.data.set(line, 4 * ((row + border) * padded.width + border));
  }
  return padded;
}

/** Rounds half to even, as Python does. */
function roundEven(value: number): number {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2) : Math.round(value);
}
