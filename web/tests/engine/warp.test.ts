import { describe, expect, it } from "vitest";
import { resize, warp } from "../../src/engine/warp";
import { asMatrix, differences, reference, toPixels } from "./reference";

const picture = toPixels(reference.picture, 50, 40);

describe("warp", () => {
  it("samples as OpenCV does", () => {
    const grown = warp(picture, asMatrix(reference.grown.matrix), 30, 20);
    expect(differences(grown, reference.grown.result).worst).toBeLessThanOrEqual(1);
  });

  it("averages before it shrinks by more than two", () => {
    const shrunk = warp(picture, asMatrix(reference.shrunk.matrix), 12, 10);
    expect(differences(shrunk, reference.shrunk.result).worst).toBeLessThanOrEqual(1);
  });

  it("is black outside of the picture", () => {
    const far = warp(picture, [1, 0, 500, 0, 1, 0], 10, 10);
    expect(Math.max(...far.data)).toBe(0);
  });
});

describe("resize", () => {
  it.each([
    ["halved", 25, 20],
    ["area", 33, 27],
    ["enlarged", 75, 60],
  ] as const)("makes the picture of OpenCV: %s", (name, width, height) => {
    const found = differences(resize(picture, width, height), reference[name]);
    console.log(name, found);
    expect(found.worst).toBeLessThanOrEqual(1);
  });

  it("leaves a picture of the wanted size alone", () => {
    expect(resize(picture, 50, 40)).toBe(picture);
  });
});
