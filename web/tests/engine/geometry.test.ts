import { describe, expect, it } from "vitest";
import {
  affine,
  apply,
  boundingBox,
  compose,
  determinant,
  invert,
  resizing,
  rotation,
  scaling,
  similarity,
  smallestScale,
  translation,
} from "../../src/engine/geometry";
import { expectClose, reference } from "./reference";

const source = Float64Array.from(reference.source);
const target = Float64Array.from(reference.target);

describe("matrices", () => {
  it("are composed from first to last", () => {
    expect([...apply(compose(translation(1, 0), scaling(2)), Float64Array.of(0, 0))]).toEqual([2, 0]);
  });

  it("turn clockwise on the screen", () => {
    expectClose(apply(rotation(Math.PI / 2), Float64Array.of(1, 0)), [0, 1]);
  });

  it("are undone by their inverse", () => {
    const matrix = compose(rotation(0.3, [4, 5]), scaling(2, 3), translation(7, -1));
    expectClose(apply(compose(matrix, invert(matrix)), source), reference.source);
    expect(determinant(matrix)).toBeCloseTo(6);
    expect(smallestScale(scaling(2, 3))).toBeCloseTo(2);
  });

  it("resize edges onto edges", () => {
    expectClose(apply(resizing(10, 10, 20, 20), Float64Array.of(-0.5, 9.5)), [-0.5, 19.5]);
  });
});

describe("fits", () => {
  it("are those of Python", () => {
    expectClose(similarity(source, target)!, reference.similarity);
    expectClose(affine(source, target)!, reference.affine);
  });

  it("refuse points that say too little", () => {
    expect(similarity(Float64Array.of(1, 1, 1, 1), Float64Array.of(0, 0, 1, 1))).toBeNull();
    expect(affine(Float64Array.of(0, 0, 1, 1, 2, 2), Float64Array.of(0, 0, 1, 1, 2, 2))).toBeNull();
  });
});

it("boxes lie around their points", () => {
  expect(boundingBox(Float64Array.of(3, 1, -2, 8))).toEqual([-2, 1, 3, 8]);
});
