import { expect, it } from "vitest";
import { UserError, fillIn, reasonOf } from "../../src/engine/errors";

it("say what and how", () => {
  expect(new UserError("pack.file", { file: "a.png" }).message).toBe(
    "a.png: missing in the pack; put it in or fix the manifest",
  );
  expect(fillIn("{a} and {b}", { a: 1 })).toBe("1 and {b}");
});

it("give a reason in one short line", () => {
  expect(reasonOf(new Error("first\nsecond"))).toBe("first");
  expect(reasonOf("x".repeat(500))).toHaveLength(160);
});
