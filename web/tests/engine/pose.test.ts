import { describe, expect, it } from "vitest";
import { MEAN_FACE } from "../../src/engine/head";
import { completeFarSide, fromTheFront, headPose } from "../../src/engine/pose";
import { expectClose, reference } from "./reference";

describe("a head", () => {
  it.each(reference.poses)("is turned as Python says (%#)", ({ points, angles, camera, completed }) => {
    const face = Float64Array.from(points);
    const pose = headPose(face);
    expectClose([pose.yaw, pose.pitch, pose.roll], angles);
    expectClose(pose.camera, camera, 3);
    expectClose(completeFarSide(face, pose), completed, 3);
  });

  it("that is not turned is the mean face", () => {
    const points = MEAN_FACE.map((value) => 100 * value + 7);
    expectClose(fromTheFront(points, headPose(points).camera), MEAN_FACE, 2);
  });

  it("that is squeezed into one point, or known in part, has no pose", () => {
    expect(headPose(new Float64Array(136)).yaw).toBeNaN();
    expect(headPose(MEAN_FACE.map((value, i) => (i ? value : NaN))).camera[0]).toBeNaN();
    expect(headPose(Float64Array.from(MEAN_FACE, (_, i) => (i % 2 ? 0 : i))).camera[0]).toBeNaN();
  });
});
