import { describe, expect, it } from "vitest";
import { Degenerate, fit } from "../../../src/engine/stickers/placement";
import { expectClose, reference } from "../reference";

const source = Float64Array.from(reference.source);
const target = Float64Array.from(reference.target);

describe("a placement", () => {
  it.each(["similarity", "affine", "mesh"] as const)("carries as Python's: %s", (kind) => {
    const placement = fit(kind, source, target)!;
    const carried = [];
    for (let i = 0; i < reference.probes.length; i += 2) {
      carried.push(...placement.carry!([reference.probes[i]!, reference.probes[i + 1]!]));
    }
    expectClose(carried, reference.carried[kind], 3);
  });

  it("is none on a face squeezed into one point", () => {
    expect(fit("affine", source, new Float64Array(source.length))).toBeNull();
  });

  it("refuses a sticker whose anchors coincide", () => {
    expect(() => fit("similarity", Float64Array.of(1, 1, 1, 1), Float64Array.of(0, 0, 9, 9))).toThrow(Degenerate);
  });
});
