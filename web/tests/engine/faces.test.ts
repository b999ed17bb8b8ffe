import { expect, it } from "vitest";
import { largestFirst, withoutDoubles } from "../../src/engine/faces";

const face = (box: readonly [number, number, number, number], score: number) => ({
  box,
  score,
  points: new Float32Array(136),
});

it("are sorted, the largest first", () => {
  expect(largestFirst([face([0, 0, 1, 1], 1), face([0, 0, 2, 2], 0)]).map(({ score }) => score)).toEqual([0, 1]);
});

it("that lie on each other are one", () => {
  const faces = [face([0, 0, 10, 10], 0.5), face([0, 1, 10, 11], 0.75), face([20, 0, 25, 5], 0.25)];
  expect(withoutDoubles(faces).map(({ score }) => score)).toEqual([0.75, 0.25]);
});

it("inside of another one, smaller and less trusted, are parts of it", () => {
  const whole = face([0, 0, 10, 10], 0.75);
  expect(withoutDoubles([whole, face([3, 5, 8, 10], 0.5)])).toEqual([whole]);
  expect(withoutDoubles([whole, face([3, 5, 8, 10], 0.9)])).toHaveLength(2);
  expect(withoutDoubles([whole, face([8, 5, 13, 10], 0.5)])).toHaveLength(2);
});
