import { describe, expect, it } from "vitest";
import {
  ANCHOR_NAMES,
  MEAN_FACE,
  anchors,
  eyeDistance,
  faceOutline,
  headCamera,
  mouthOpenness,
} from "../../src/engine/landmarks";
import { expectClose, reference } from "./reference";

const face = Float64Array.from(reference.face);

describe("a face", () => {
  it("has the places that Python names", () => {
    const found = anchors(face);
    expect(ANCHOR_NAMES).toEqual(Object.keys(reference.anchors).sort());
    for (const [name, place] of Object.entries(reference.anchors)) expectClose(found[name]!, place);
  });

  it("is turned as Python says", () => {
    expectClose(headCamera(face), reference.camera);
    expectClose([...headCamera(MEAN_FACE)], [1, 0, 0, 0, 1, 0], 3);
  });

  it("has Python's outline, mouth and unit", () => {
    expectClose(faceOutline(face), reference.outline);
    expect(mouthOpenness(face)).toBeCloseTo(reference.openness[0]!);
    expect(eyeDistance(MEAN_FACE)).toBeCloseTo(0.606);
  });

  it("that is squeezed into one point does no harm", () => {
    expect(headCamera(new Float64Array(136))).toEqual([0, 0, 0, 0, 0, 0]);
  });
});
