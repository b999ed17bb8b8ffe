import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { readRecipe } from "../../src/engine/recipe";

const models = resolve(import.meta.dirname, "../../public/models");
const text = readFileSync(resolve(models, "face_crop_light/recipe.json"), "utf8");
const fivePoints = JSON.parse(text) as { recipe: { schema: { points: string[] } } };
fivePoints.recipe.schema.points.length = 5;

describe("a recipe", () => {
  it("of points is read", () => {
    expect(readRecipe(text, "r")).toMatchObject({ finds: "points", size: 112, scored: true });
  });

  it("of boxes is read", () => {
    const boxes = readFileSync(resolve(models, "face_detector/recipe.json"), "utf8");
    expect(readRecipe(boxes, "r").finds).toBe("boxes");
  });

  it("of before schemas is read", () => {
    const older = text.replace(/"schema": \{/, '"num_points": 68, "unused": {');
    expect(readRecipe(older, "r").finds).toBe("points");
  });

  it.each([
    ["{", "damaged"],
    ["[]", "not a network of facekp"],
    ['{"format": "facekp-9"}', "not a network of facekp"],
    [JSON.stringify(fivePoints), "finds 5 points"],
    [text.replace('"size": 112', '"size": 1e9'), "damaged (size)"],
    [text.replace('"face_side"', '"face_sides"'), "damaged (face_side)"],
    [text.replace('"channels": 1', '"channels": 4000'), "damaged (pixels)"],
  ])("that is wrong is named (%#)", (wrong, words) => {
    expect(() => readRecipe(wrong, "r")).toThrow(words);
  });
});
