import { describe, expect, it } from "vitest";
import { MEAN_FACE } from "../../src/engine/head";
import { ANCHOR_NAMES, anchors, eyeDistance, faceOutline } from "../../src/engine/landmarks";
import { expectClose, reference } from "./reference";

const face = Float64Array.from(reference.face);

describe("a face", () => {
  it("has the places that Python names", () => {
    const found = anchors(face);
    expect(ANCHOR_NAMES).toEqual(Object.keys(reference.anchors).sort());
    for (const [name, place] of Object.entries(reference.anchors)) expectClose(found[name]!, place);
  });

  it.each(reference.poses)("has them on a turned head (%#)", ({ points, anchors: places, outline }) => {
    const found = anchors(Float64Array.from(points));
    for (const [name, place] of Object.entries(places)) expectClose(found[name]!, place, 3);
    expectClose(faceOutline(Float64Array.from(points)), outline, 3);
  });

  it("has Python's outline and unit", () => {
    expectClose(faceOutline(face), reference.outline);
    expect(eyeDistance(MEAN_FACE)).toBeCloseTo(0.606);
  });
});
