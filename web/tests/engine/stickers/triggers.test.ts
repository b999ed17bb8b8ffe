import { expect, it } from "vitest";
import { Switch, type Trigger, atOnce } from "../../../src/engine/stickers/triggers";
import { expectClose, reference } from "../reference";

const trigger: Trigger = { signal: "mouth_open", on: 0.6, off: 0.4, holdMs: 0, mode: "while" };

it.each(reference.switches)(
  "a trigger turns on and off as in Python: $mode, $hold ms",
  ({ hold, mode, values, shown }) => {
    const state = new Switch();
    const times = values.map((value, i) => state.next({ ...trigger, holdMs: hold, mode }, value, 0.07 * i, 0.5) ?? -1);
    expectClose(times, shown);
  },
);

it("a trigger of a single picture has no before", () => {
  expect([0.5, 0.6, NaN].map((value) => atOnce(trigger, value, 2))).toEqual([null, 0, null]);
  expect(atOnce({ ...trigger, mode: "burst" }, 0.7, 2)).toBe(1);
});
