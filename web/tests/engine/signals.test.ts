import { describe, expect, it } from "vitest";
import { MEAN_FACE } from "../../src/engine/head";
import { headPose } from "../../src/engine/pose";
import { Neutral, SIGNAL_NAMES, measure, signalsOf } from "../../src/engine/signals";
import { expectClose, reference } from "./reference";

describe("signals", () => {
  it("are those of Python", () => {
    expect(SIGNAL_NAMES).toEqual(Object.keys(reference.signals));
  });

  it.each(reference.poses)("are measured as in Python (%#)", ({ points, measured }) => {
    const face = Float64Array.from(points);
    expectClose(measure(face, headPose(face).camera), measured);
  });

  it("are unknown where the pose is", () => {
    expect(measure(MEAN_FACE, headPose(new Float64Array(136)).camera).every(Number.isNaN)).toBe(true);
  });

  it("count from a person's own rest", () => {
    const measured = SIGNAL_NAMES.map(() => 0.3);
    expect(signalsOf(measured, measured).brows_up).toBe(0);
  });
});

it("a face at rest is learned as in Python", () => {
  const own = new Neutral(1);
  reference.rest.measured.forEach((measured, frame) => {
    own.learn(measured, frame === 3 ? 30 : 0, 0.1 * frame);
    expectClose(own.values, reference.rest.learned[frame]!);
  });
});
