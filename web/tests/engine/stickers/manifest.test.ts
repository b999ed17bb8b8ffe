import { readFileSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { readManifest } from "../../../src/engine/stickers/manifest";

const stickers = resolve(import.meta.dirname, "../../../../assets/stickers");
const packs = readdirSync(stickers, { withFileTypes: true }).filter((each) => each.isDirectory());

const layer = { name: "nose", frames: ["a.png"], anchors: { nose_tip: [1, 2], chin: [3, 4] } };
const pack = { name: "x", title: "X", author: "me", licence: "CC0-1.0", layers: [layer] };
const read = (changes: object, inLayer: object = {}) =>
  readManifest(JSON.stringify({ ...pack, layers: [{ ...layer, ...inLayer }], ...changes }), "x/manifest.json");

describe("a manifest", () => {
  it.each(packs.map(({ name }) => name))("of %s is read", (name) => {
    const text = readFileSync(resolve(stickers, name, "manifest.json"), "utf8");
    expect(readManifest(text, name).name).toBe(name);
  });

  it("has defaults", () => {
    expect(read({})).toMatchObject({ maxFaces: 100, layers: [{ fit: "similarity", opacity: 1, frameMs: 100 }] });
  });

  it.each<[object, object, string]>([
    [{ name: "Not so" }, {}, "key 'name': must be"],
    [{ layers: [] }, {}, "key 'layers': must be [layer, ...]"],
    [{ max_faces: 0 }, {}, "key 'max_faces': must be 1, 2, ..."],
    [{ hat: 1 }, {}, "key 'hat': unknown; the keys are $schema, name"],
    [{}, { frames: ["../a.png"] }, "layer 0, key 'frames': must be"],
    [{}, { frame_ms: 0 }, "layer 0, key 'frame_ms': must be > 0"],
    [{}, { blend: "burn" }, "key 'blend': must be normal | multiply | screen"],
    [{}, { anchors: { knee: [1, 2], chin: [1, 2] } }, "no place is called knee"],
    [{}, { anchors: { chin: [1, 2] } }, "fit similarity needs 2, not 1"],
    [{}, { anchors: { chin: [1, "2"] } }, "key 'anchors': must be"],
    [{}, { fit: "mesh" }, "fit mesh needs 4, not 2"],
  ])("that is wrong is named (%#)", (changes, inLayer, words) => {
    expect(() => read(changes, inLayer)).toThrow(words);
  });

  it("that is no JSON is named", () => {
    expect(() => readManifest("{", "x")).toThrow("x: not valid JSON");
  });
});
