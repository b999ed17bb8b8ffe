/** Reference results of the Python package; see `tests/reference.py`. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect } from "vitest";
import type { Matrix } from "../../src/engine/geometry";
import type { Pixels } from "../../src/engine/warp";

interface Reference {
  face: number[];
  poses: {
    points: number[];
    angles: number[];
    camera: number[];
    measured: number[];
    completed: number[];
    anchors: Record<string, number[]>;
    outline: number[];
  }[];
  anchors: Record<string, number[]>;
  outline: number[];
  triangles: number[];
  mesh: number[];
  signals: Record<string, number[]>;
  rest: { measured: number[][]; learned: number[][] };
  switches: { hold: number; mode: "while" | "burst"; values: number[]; shown: number[] }[];
  steps: number[][];
  smoothed: number[][];
  source: number[];
  target: number[];
  probes: number[];
  similarity: number[];
  affine: number[];
  carried: Record<"similarity" | "affine" | "mesh", number[]>;
  picture: number[];
  grown: { matrix: number[]; result: number[] };
  shrunk: { matrix: number[]; result: number[] };
  halved: number[];
  area: number[];
  enlarged: number[];
}

const file = resolve(import.meta.dirname, "../fixtures/reference.json");

export const reference = JSON.parse(readFileSync(file, "utf8")) as Reference;

export const asMatrix = (values: number[]) => values as unknown as Matrix;

/** Expect two lists to agree to `digits` decimals. */
export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, digits = 4): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) expect(actual[i]).toBeCloseTo(expected[i]!, digits);
}

/** Convert a BGR image of Python to RGBA. */
export function toPixels(bgr: number[], width: number, height: number): Pixels {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) {
    data.set([bgr[3 * i + 2]!, bgr[3 * i + 1]!, bgr[3 * i]!, 255], 4 * i);
  }
  return { data, width, height };
}

/** Return the largest and the mean difference in grey levels. */
export function differences(image: Pixels, bgr: number[]): { worst: number; mean: number } {
  const other = toPixels(bgr, image.width, image.height).data;
  let [worst, sum] = [0, 0];
  for (let i = 0; i < other.length; i++) {
    if (i % 4 === 3) continue;
    const difference = Math.abs(image.data[i]! - other[i]!);
    worst = Math.max(worst, difference);
    sum += difference;
  }
  return { worst, mean: sum / (0.75 * other.length) };
}
