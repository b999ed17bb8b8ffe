import { expect, it } from "vitest";
import { Texture, decodePng } from "../../../src/engine/stickers/texture";

function picture(width: number, height: number, visible: readonly [number, number][]) {
  const data = new Uint8ClampedArray(4 * width * height);
  for (const [x, y] of visible) data.set([255, 255, 255, 255], 4 * (y * width + x));
  return { data, width, height };
}

it("is trimmed to what is visible", () => {
  expect(new Texture(picture(9, 8, [[2, 3], [6, 5]])).box).toEqual([2, 3, 7, 6]); // prettier-ignore
  expect(new Texture(picture(9, 8, [])).box).toBeNull();
});

it("is decoded from PNGs with transparency alone", async () => {
  const header = (width: number, colours: number) => {
    const bytes = new Uint8Array(40);
    bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]);
    new DataView(bytes.buffer).setUint32(16, width);
    new DataView(bytes.buffer).setUint32(20, 1);
    bytes.set([8, colours], 24);
    return bytes;
  };
  await expect(decodePng(new Uint8Array(50), "a.png")).rejects.toThrow("a.png: not a PNG");
  await expect(decodePng(header(5000, 6), "a.png")).rejects.toThrow("too many");
  await expect(decodePng(header(10, 2), "a.png")).rejects.toThrow("has no transparency");
  const keyed = (colours: number) => {
    const bytes = new Uint8Array(60);
    bytes.set(header(10, colours));
    bytes.set([0, 0, 0, 0, 0x74, 0x52, 0x4e, 0x53], 33); // tRNS
    return bytes;
  };
  await expect(decodePng(keyed(0), "a.png")).rejects.toThrow("has no transparency");
  await expect(decodePng(keyed(2), "a.png")).rejects.toThrow("damaged"); // tRNS is accepted, so it is decoded
});
