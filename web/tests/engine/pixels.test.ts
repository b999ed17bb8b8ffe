import { expect, it } from "vitest";
import { UserError } from "../../src/engine/errors";
import { buildInput } from "../../src/engine/pixels";

const white = { data: new Uint8ClampedArray([255, 255, 255, 255]), width: 1, height: 1 };

it("are grey from 0 to 1", () => {
  const { channels, write } = buildInput([{ type: "GrayNormalize", channels: 1 }, { type: "ToCHW" }], "recipe");
  const out = new Float32Array(2);
  write(white, out, 1);
  expect([channels, ...out]).toEqual([1, 0, 1]);
});

it("are what ImageNet's networks saw", () => {
  const { write } = buildInput([{ type: "ImageNetNormalize" }, { type: "ToCHW" }], "recipe");
  const out = new Float32Array(3);
  write(white, out, 0);
  expect([...out].map((value) => value.toFixed(2))).toEqual(["2.25", "2.43", "2.64"]);
});

it("of other transforms are refused", () => {
  expect(() => buildInput([{ type: "Blur" }, { type: "ToCHW" }], "recipe")).toThrow(UserError);
  expect(() => buildInput([{ type: "GrayNormalize" }], "recipe")).toThrow(UserError);
});
