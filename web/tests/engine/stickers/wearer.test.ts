import { describe, expect, it } from "vitest";
import { faceOf } from "../../../src/engine/faces";
import { AVERAGE_REST } from "../../../src/engine/signals";
import type { Trigger } from "../../../src/engine/stickers/triggers";
import { Wearer } from "../../../src/engine/stickers/wearer";
import { reference } from "../reference";

const mouth: Trigger = { signal: "mouth_open", on: 0.5, off: 0.35, holdMs: 0, mode: "while" };
const turned = (index: number) => faceOf(Float32Array.from(reference.poses[index]!.points), 1);

describe("a wearer", () => {
  it("shows both sides from the front, and hides the far one of a turned head", () => {
    const front = new Wearer(turned(0), 0);
    expect([front.facing("left", 20), front.facing("right", 20), front.facing("none", 0)]).toEqual([1, 1, 1]);
    const far = new Wearer(turned(2), 0); // turned 46 degrees to the left
    expect([far.facing("left", 20), far.facing("right", 20)]).toEqual([0, 1]);
    expect(far.facing("left", 50)).toBeCloseTo(0.28, 1);
  });

  it("on a photo has no before", () => {
    expect(new Wearer(turned(0), 0).shownFor({}, mouth, 1, 1)).toBeNull();
  });

  it("in a video remembers, each layer for itself", () => {
    const [layer, other, memory] = [{}, {}, new WeakMap<object, object>()];
    const low = AVERAGE_REST.map((value) => value - 0.1); // relative to these values the mouth is open
    const face = (rest: readonly number[]) => ({ ...turned(0), id: 0, unseen: 0, rest, memory });
    expect(new Wearer(face(low), 0).shownFor(layer, mouth, 1, 1)).toBe(0);
    expect(new Wearer(face(AVERAGE_REST), 0).shownFor(layer, mouth, 1.1, 1)).toBeCloseTo(0.1);
    expect(new Wearer(face(AVERAGE_REST), 0).shownFor(other, mouth, 1.1, 1)).toBeNull();
    expect(new Wearer(face(AVERAGE_REST), 0).shownFor(layer, mouth, 1.2, 1)).toBeNull();
  });
});
