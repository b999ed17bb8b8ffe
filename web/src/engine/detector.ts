/** Face detection in whole images. */
import { type ScoredBox, SAME_FACE, chooseBoxes, countCells, suppressOverlaps } from "./boxes";
import { UserError } from "./errors";
import type { Box } from "./geometry";
import { type Network, blank } from "./network";
import type { BoxesRecipe } from "./recipe";
import { type Pixels, resize } from "./warp";

/** Thoroughness of a search: for all faces, or, in a third of the time, only for large ones. */
export type Effort = "full" | "quick";

/** Face detector: a function from an image to boxes, each around the 68 points of a face, and their scores. */
export type Detector = (image: Pixels, effort: Effort) => Promise<ScoredBox[]>;

/** Longest side of the image in each pass, in pixels. */
const LONGEST_SIDES: Record<Effort, readonly number[]> = { full: [320, 640], quick: [320] };

/** Minimum score of a box. Low, because the score of the points that are found in a box counts as well. */
const MIN_SCORE = 0.3;

/** Score of a box from which there is no pass with a border. */
const SURE = 0.6;

/** Longest side of the image in that pass, and width of the border, in pixels. */
const BORDERED = { side: 176, border: 72 } as const;

/** Maximum factor by which images are enlarged. */
const MAX_ENLARGEMENT = 4;

/** The sides of the network's input are multiples of this, because the network halves them repeatedly. */
const MULTIPLE = 32;

/**
 * Create our own face detector. Every image is searched at the same sizes, small ones enlarged; if both passes find a
 * face, the box with the higher score is kept. If no score reaches `SURE`, an extra pass searches the image at a small
 * size in a wide border: a face that fills the image, or extends beyond it, is complete there.
 *
 * @param network - The network of boxes.
 */
export function createDetector(network: Network<BoxesRecipe>): Detector {
  return async (image, effort) => {
    const most = MAX_ENLARGEMENT * Math.max(image.width, image.height);
    const sides = new Set(LONGEST_SIDES[effort].map((side) => Math.min(side, most)));
    const found: ScoredBox[] = [];
    for (const side of sides) found.push(...(await searchAt(network, image, side)));
    if (!found.some(({ score }) => score >= SURE)) {
      found.push(...(await searchAt(network, image, Math.min(BORDERED.side, most), BORDERED.border)));
    }
    return suppressOverlaps(found, SAME_FACE);
  };
}

/** Run a network of boxes once to check the shape of its output. */
export async function checkDetector(network: Network<BoxesRecipe>): Promise<void> {
  const [cells] = await network.run([blank(2 * MULTIPLE, 2 * MULTIPLE)]);
  if (cells?.length !== 5 * countCells(2 * MULTIPLE, 2 * MULTIPLE)) {
    throw new UserError("network.shape", { file: network.name });
  }
}

async function searchAt(
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
  return chooseBoxes(cells!, padded.width, padded.height, MIN_SCORE).map(({ box: [x0, y0, x1, y1], score }) => {
    const x = (place: number) => (place - border + 0.5) / sx - 0.5;
    const y = (place: number) => (place - border + 0.5) / sy - 0.5;
    const box: Box = [x(x0), y(y0), x(x1), y(y1)];
    return { box, score };
  });
}

/** Pad an image to multiples of `MULTIPLE` pixels, with a border of grey around it; without a border, with black. */
function pad(image: Pixels, border: number): Pixels {
  const [width, height] = [image.width + 2 * border, image.height + 2 * border];
  const padded = blank(Math.ceil(width / MULTIPLE) * MULTIPLE, Math.ceil(height / MULTIPLE) * MULTIPLE);
  if (border) padded.data.fill(127);
  for (let row = 0; row < image.height; row++) {
    const line = image.data.subarray(4 * row * image.width, 4 * (row + 1) * image.width);
    padded.data.set(line, 4 * ((row + border) * padded.width + border));
  }
  return padded;
}

/** Round half to even, as Python does. */
function roundEven(value: number): number {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2) : Math.round(value);
}
