/** Opening a network on the faster of two backends, for as long as that works. */
import type { Folder } from "./files";
import { type Network, blank, openOn } from "./network";
import { type Runtime, hasGpu } from "./runtime";
import type { Pixels } from "./warp";

/** Runs that are timed. */
const TRIALS = 5;

/** Outputs that differ by more, or by more than this part of them, come from a driver that computes wrongly. */
const TOLERANCE = 0.02;

/** What a detector is timed on: a film's frame at 640 pixels. */
const FILM = { width: 640, height: 384 } as const;

/**
 * Read a folder of `tools/export.py` and make the network ready, on the faster backend where WebGPU is asked for.
 *
 * @param folder - Holds `model.onnx` and `recipe.json`.
 * @param runtime - See `Runtime`.
 */
export async function openNetwork(folder: Folder, runtime?: Runtime): Promise<Network> {
  const network = await openOn("wasm", folder, runtime);
  if (runtime?.backend !== "webgpu" || !(await hasGpu())) return network;
  const rival = await openOn("webgpu", folder, runtime).catch(() => undefined);
  if (!rival) return network;
  const { recipe } = network;
  const { width, height } = recipe.finds === "points" ? { width: recipe.size, height: recipe.size } : FILM;
  return fasterOf(network, rival, noise(width, height));
}

/**
 * Choose the faster one on a trial image.
 *
 * @param safe - Stays ready in case the rival fails later, when a graphics processor is lost.
 * @param rival - Is chosen only if it gives the same numbers, and sooner; else it is closed.
 * @param trial - An image of the usual size.
 */
export async function fasterOf(safe: Network, rival: Network, trial: Pixels): Promise<Network> {
  const wanted = await safe.run([trial]);
  try {
    const found = await rival.run([trial]); // also makes its shaders
    if (agree(found, wanted) && (await time(rival, trial)) < (await time(safe, trial))) return guard(rival, safe);
  } catch {
    // It does not work here.
  }
  await rival.close().catch(() => undefined);
  return safe;
}

/** Least milliseconds of some runs. */
async function time(network: Network, trial: Pixels): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < TRIALS; i++) {
    const start = performance.now();
    await network.run([trial]);
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

function agree(found: readonly Float32Array[], wanted: readonly Float32Array[]): boolean {
  return wanted.every((numbers, i) =>
    numbers.every((value, j) => Math.abs(found[i]![j]! - value) <= TOLERANCE * Math.max(1, Math.abs(value))),
  );
}

/** A network that is replaced for good when it fails. */
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

/** An image with something everywhere, the same each time. */
function noise(width: number, height: number): Pixels {
  const image = blank(width, height);
  return { ...image, data: image.data.map((_, i) => (i * 7919) % 251) };
}
