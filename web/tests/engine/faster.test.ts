import { expect, it } from "vitest";
import { fasterOf } from "../../src/engine/faster";
import type { Network } from "../../src/engine/network";
import type { Backend } from "../../src/engine/runtime";

const trial = { data: new Uint8ClampedArray(4), width: 1, height: 1 };

/** A fake network that outputs a number after some milliseconds. */
function network(backend: Backend, milliseconds: number, answer: () => number) {
  const fake = {
    closed: false,
    runs: 0,
    name: "fake",
    recipe: { finds: "boxes", pixels: [] },
    input: { channels: 1, write: () => {} },
    backend,
    async run() {
      fake.runs++;
      await new Promise((done) => setTimeout(done, milliseconds));
      return [Float32Array.of(answer())];
    },
    async close() {
      fake.closed = true;
    },
  } satisfies Network & Record<string, unknown>;
  return fake;
}

it("chooses the rival where it is faster", async () => {
  const [safe, rival] = [network("wasm", 20, () => 50), network("webgpu", 1, () => 50.1)];
  const chosen = await fasterOf(safe, rival, trial);
  expect(chosen.backend).toBe("webgpu");
  expect(safe.closed || rival.closed).toBe(false);
  await chosen.close();
  expect(safe.closed && rival.closed).toBe(true);
});

it.each([
  ["is slower", 20, () => 50],
  ["gives other numbers", 1, () => 52],
  ["gives none", 1, () => NaN],
  [
    "fails",
    1,
    () => {
      throw new Error("no shader");
    },
  ],
])("does not where it %s", async (_, milliseconds, answer) => {
  const [safe, rival] = [network("wasm", 5, () => 50), network("webgpu", milliseconds, answer)];
  expect(await fasterOf(safe, rival, trial)).toBe(safe);
  expect(rival.closed).toBe(true);
  expect(safe.closed).toBe(false);
});

it("goes on with the other one when the rival fails later", async () => {
  let lost = false;
  const rival = network("webgpu", 1, () => {
    if (lost) throw new Error("device lost");
    return 50;
  });
  const chosen = await fasterOf(
    network("wasm", 20, () => 50),
    rival,
    trial,
  );
  lost = true;
  expect((await chosen.run([trial]))[0]![0]).toBe(50);
  expect(chosen.backend).toBe("wasm");
  const before = rival.runs;
  await chosen.run([trial]);
  expect(rival.runs).toBe(before);
});
