/** The faster of two networks that do the same, for as long as it works. */
import type { Network } from "./network";
import type { Pixels } from "./warp";

/** Runs that are timed. */
const TRIALS = 5;

/** Outputs that differ by more, or by more than this part of them, come from a driver that computes wrongly. */
const TOLERANCE = 0.02;

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
