import { expect, it } from "vitest";
import { filesOf, folderOf } from "../../src/engine/files";

it("lie where their landmark lies", async () => {
  const files = new Map([
    ["top/in/model.onnx", Uint8Array.of(1)],
    ["top/in/recipe.json", Uint8Array.of(2)],
  ]);
  const folder = folderOf("x", files, "recipe.json");
  expect(await folder.read("model.onnx")).toEqual(Uint8Array.of(1));
  expect(await folder.read("other")).toBeUndefined();
});

it("that are too large are refused before they are read", async () => {
  await expect(filesOf([new File(["12345"], "a")], 4)).rejects.toThrow("a: 5 bytes is too large");
});
