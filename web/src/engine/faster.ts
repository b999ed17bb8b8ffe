/** Opening a network on the faster of two backends, with a fallback to the other one. */
import type { Folder } from "./files";
import { type Network, blank, openOn } from "./network";
import { type Runtime, hasGpu } from "./runtime";
import type { Pixels } from "./warp";

/** Number of timed runs. */
const TRIALS = 5;

/** Outputs with a larger absolute and relative difference than this come from a driver that computes wrongly. */
const TOLERANCE = 0.02;

/** Size of the image that a detector is timed on: a video frame at 640 pixels. */
const VIDEO_FRAME = { width: 640, height: 384 } as const;

/**
 * Load a network from a folder that `tools/export.py` wrote, on the faster backend if WebGPU is requested.
 *
 * @param folder - Folder with `model.onnx` and `recipe.json`.
 * @param runtime - See `Runtime`.
 */
export async function openNetwork(folder: Folder, runtime?: Runtime): Promise<Network> {
  const network = await openOn("wasm", folder, runtime);
  if (runtime?.backend !== "webgpu" || !(await hasGpu())) return network;
  const rival = await openOn("webgpu", folder, runtime).catch(() => undefined);
  if (!rival) return network;
  const { recipe } = network;
  const { width, height } = recipe.finds === "points" ? { width: recipe.size, height: recipe.size } : VIDEO_FRAME;
  return fasterOf(network, rival, noise(width, height));
}

/**
 * Choose the network that is faster on a test image.
 *
 * @param safe - Network that is kept as a fallback in case `rival` fails later, such as when the GPU is lost.
 * @param rival - Network that is chosen only if it is faster and its outputs are the same; otherwise it is closed.
 * @param trial - Test image of the usual size.
 */
export async function fasterOf(safe: Network, rival: Network, trial: Pixels): Promise<Network> {
  const expected = await safe.run([trial]);
  try {
    const found = await rival.run([trial]); // also compiles its shaders
    if (agree(found, expected) && (await time(rival, trial)) < (await time(safe, trial))) return guard(rival, safe);
  } catch {
    // It does not work here.
  }
  await rival.close().catch(() => undefined);
  return safe;
}

/** Return the shortest time of several runs, in milliseconds. */
async function time(network: Network, trial: Pixels): Promise<number> {
  let shortest = Infinity;
  for (let i = 0; i < TRIALS; i++) {
    const start = performance.now();
    await network.run([trial]);
    shortest = Math.min(shortest, performance.now() - start);
  }
  return shortest;
}

function agree(found: readonly Float32Array[], expected: readonly Float32Array[]): boolean {
  return expected.every((numbers, i) =>
    numbers.every((value, j) => Math.abs(found[i]![j]! - value) <= TOLERANCE * Math.max(1, Math.abs(value))),
  );
}

/** Return a network that is permanently replaced by `second` when `first` fails. */
function guard(first: Network, second: Network): Network {
  let current = first;
  return {
    name: first.name,
    recipe: first.recipe,
    input: first.input,
    get backend() {
      return current.backend;
    },
    async run(images) {
      if (current === first) {
        try {
          return await first.run(images);
        } catch {
          current = second;
        }
      }
      return second.run(images);
    },
    async close() {
      await Promise.all([first.close().catch(() => undefined), second.close()]);
    },
  };
}

/** Return an image of deterministic noise. */
function noise(width: number, height: number): Pixels {
  const image = blank(width, height);
  return { ...image, data: image.data.map((_, i) => (i * 7919) % 251) };
}
