import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { unzip } from "../../src/engine/archive";
import { zip } from "../e2e/archives";

const bytes = async (files: Record<string, Buffer>) => new Uint8Array(await zip(files));

describe("an archive", () => {
  it("is unpacked", async () => {
    const files = await unzip(await bytes({ "a/b.txt": Buffer.from("hello") }), "x.zip", 100);
    expect(Buffer.from(files.get("a/b.txt")!).toString()).toBe("hello");
  });

  it.each(["../up.txt", "/top.txt", "a/../../b.txt", "C:/x.txt", "a\\b.txt"])("may not hold %s", async (name) => {
    await expect(unzip(await bytes({ [name]: Buffer.from("x") }), "x.zip", 100)).rejects.toThrow("leads out");
  });

  it("may not be larger than said", async () => {
    await expect(unzip(await bytes({ a: Buffer.alloc(1000) }), "x.zip", 999)).rejects.toThrow("too large");
  });

  it("may not hold too many files", async () => {
    const one = await zip({ a: Buffer.from("x") });
    // Repeat the central directory 4,100 times; the end record holds its number of entries, its size and its offset.
    const end = one.length - 22;
    const first = one.readUInt32LE(end + 16);
    const entries = Array<Buffer>(4100).fill(one.subarray(first, end));
    const many = Buffer.concat([one.subarray(0, first), ...entries, one.subarray(end)]);
    const last = many.length - 22;
    for (const at of [8, 10]) many.writeUInt16LE(entries.length, last + at);
    many.writeUInt32LE(last - first, last + 12);
    await expect(unzip(new Uint8Array(many), "x.zip", 1e6)).rejects.toThrow("more than 4096 files");
  });

  it("that is damaged is named", async () => {
    const good = await bytes({ a: randomBytes(2000) });
    const bad = good.slice();
    bad[1000]! ^= 0xff;
    await expect(unzip(bad, "x.zip", 9999)).rejects.toThrow("x.zip: a damaged zip archive");
    await expect(unzip(good.slice(0, 30), "x.zip", 100)).rejects.toThrow("x.zip: a damaged zip archive");
  });
});
