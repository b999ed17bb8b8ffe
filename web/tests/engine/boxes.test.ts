import { expect, it } from "vitest";
import { area, chooseBoxes, countCells, iou, suppressOverlaps } from "../../src/engine/boxes";

it("overlap by their union", () => {
  expect(iou([0, 0, 2, 2], [1, 0, 3, 2])).toBeCloseTo(1 / 3);
  expect(iou([0, 0, 2, 2], [5, 5, 6, 6])).toBe(0);
  expect(area([3, 3, 1, 9])).toBe(0);
});

it("come out of cells, half a pixel before their corner", () => {
  const outputs = new Float32Array(5 * countCells(32, 32));
  for (let cell = 0; cell < outputs.length; cell += 5) outputs.set([-9, 4, 4, 4, 4], cell);
  outputs[5 * 5] = 2;
  const [found, ...others] = chooseBoxes(outputs, 32, 32, 0.4);
  expect(others).toEqual([]);
  expect(found!.box).toEqual([7.5, 7.5, 15.5, 15.5]);
  expect(found!.score).toBeCloseTo(1 / (1 + Math.exp(-2)));
});

it("that overlap leave the best", () => {
  const boxes = [
    { box: [0, 0, 10, 10], score: 0.5 },
    { box: [1, 0, 11, 10], score: 0.9 },
    { box: [50, 0, 60, 10], score: 0.4 },
  ] as const;
  expect(suppressOverlaps(boxes, 0.3).map(({ score }) => score)).toEqual([0.9, 0.4]);
});
