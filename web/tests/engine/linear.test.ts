import { expect, it } from "vitest";
import { solve } from "../../src/engine/linear";

it("solves a system that needs pivoting", () => {
  expect(solve([[0, 2], [4, 0]], [[2], [8]])).toEqual([[2], [1]]); // prettier-ignore
});

it("knows a singular one", () => {
  expect(solve([[1, 2], [2, 4]], [[1], [2]])).toBeNull(); // prettier-ignore
});
