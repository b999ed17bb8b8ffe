import { readFileSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { readManifest } from "../../../src/engine/stickers/manifest";

const stickers = resolve(import.meta.dirname, "../../../../assets/stickers");
const packs = readdirSync(stickers, { withFileTypes: true }).filter((each) => each.isDirectory());

const layer = { name: "nose", frames: ["a.png"], anchors: { nose_tip: [1, 2], chin: [3, 4] } };
const paint = { name: "lips", region: "lips", colour: "#b5123F" };
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

  it("has triggers, by name or in full", () => {
    const trigger = (value: unknown) => read({}, { trigger: value }).layers[0]!.trigger;
    const full = { signal: "mouth_open", on: 0.5, off: 0.35, holdMs: 0, mode: "while" };
    expect(trigger("always")).toBeUndefined();
    expect(trigger("mouth_open")).toEqual(full);
    expect(trigger({ signal: "mouth_open", hold_ms: 9, mode: "burst" })).toEqual({ ...full, holdMs: 9, mode: "burst" });
  });

  it("counts with whole numbers, as JSON Schema has them", () => {
    const text = JSON.stringify({ ...pack, layers: [{ ...layer, order: 7 }] }).replace('"order":7', '"order":7.0');
    expect(readManifest(text, "x/manifest.json").layers[0]!.order).toBe(7);
  });

  it("has make-up", () => {
    expect(read({ layers: [paint] }).layers[0]).toMatchObject({ colour: [0xb5, 0x12, 0x3f], opacity: 0.6, order: 0 });
  });

  it.each<[object, object, string]>([
    [{ name: "Not so" }, {}, "key 'name': must be"],
    [{ layers: [] }, {}, "key 'layers': must be [{...}, ...]"],
    [{ layers: [7] }, {}, "x/manifest.json: layer 0: must be {...}"],
    [{ max_faces: 0 }, {}, "key 'max_faces': must be 1, 2, ..."],
    [{ layers: Array(33).fill(layer) }, {}, "key 'layers': must be [{...}, ...] (1 ... 32)"],
    [{}, { trigger: "yawn" }, "layer 0, key 'trigger': must be always | mouth_open |"],
    [{}, { trigger: { on: 0.5 } }, "layer 0, key 'trigger.signal': must be mouth_open |"],
    [{}, { trigger: { signal: "mouth_open", off: 0.6 } }, "key 'trigger.off': must be 0 ... 0.5"],
    [{}, { trigger: { signal: "mouth_open", hold: 1 } }, "key 'trigger.hold': unknown key; known are signal, on"],
    [{}, { side: "top" }, "key 'side': must be none | left | right"],
    [{}, { hidden_from: 91 }, "key 'hidden_from': must be 0 ... 90"],
    [{ layers: [{ ...paint, colour: "red" }] }, {}, "layer 0, key 'colour': must be #rrggbb"],
    [{ layers: [{ ...paint, region: "chin" }] }, {}, "layer 0, key 'region': must be lips |"],
    [{ layers: [{ ...paint, frames: [] }] }, {}, "key 'frames': unknown key; known are name, order, trigger, region"],
    [{ $schema: 5 }, {}, "key '$schema': must be \"...\""],
    [{ hat: 1 }, {}, "key 'hat': unknown key; known are $schema, name"],
    [{}, { frames: ["../a.png"] }, "layer 0, key 'frames': must be"],
    [{}, { frame_ms: 0.99 }, "layer 0, key 'frame_ms': must be >= 1"],
    [{}, { frame_ms: 5e-324 }, "layer 0, key 'frame_ms': must be >= 1"],
    [{}, { frame_ms: "100" }, "layer 0, key 'frame_ms': must be >= 1"],
    [{}, { order: null }, "layer 0, key 'order': must be 0, 1, ..."],
    [{}, { order: "1" }, "layer 0, key 'order': must be 0, 1, ..."],
    [{}, { side: null }, "layer 0, key 'side': must be none | left | right"],
    [{}, { blend: "burn" }, "key 'blend': must be normal | multiply | screen"],
    [{}, { anchors: { knee: [1, 2], chin: [1, 2] } }, "unknown anchor knee"],
    [{}, { anchors: { chin: [1, 2] } }, "fit similarity needs 2, not 1"],
    [{}, { anchors: { chin: [1, "2"] } }, "key 'anchors': must be"],
    [{}, { fit: "mesh" }, "fit mesh needs 4, not 2"],
  ])("that is wrong is named (%#)", (changes, inLayer, words) => {
    expect(() => read(changes, inLayer)).toThrow(words);
  });

  it.each([
    ["order", "9".repeat(5000)],
    ["frame_ms", "1e999"],
    ["opacity", "1e999"],
    ["anchors", '{"nose_tip": [1e999, 2], "chin": [3, 4]}'],
    ["trigger", '{"signal": "mouth_open", "hold_ms": 1e999}'],
  ])("with a number beyond all bounds is refused (%s)", (key, value) => {
    const text = JSON.stringify({ ...pack, layers: [{ ...layer, [key]: "HERE" }] });
    expect(() => readManifest(text.replace('"HERE"', value), "x")).toThrow(`layer 0, key '${key}`);
  });

  it("that is not valid JSON is named", () => {
    expect(() => readManifest("{", "x")).toThrow("x: not valid JSON");
  });
});
