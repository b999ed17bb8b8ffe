/** Running ONNX networks with ONNX Runtime, in WebAssembly or on the graphics processor. */
import type { InferenceSession } from "onnxruntime-web/wasm";
import { UserError, reasonOf } from "./errors";
import { type Folder, MAX_NETWORK_BYTES, MAX_RECIPE_BYTES, textOf } from "./files";
import { type Input, buildInput } from "./pixels";
import { type Recipe, readRecipe } from "./recipe";
import { type Backend, type Ort, type Runtime, startRuntime } from "./runtime";
import { turns } from "./turns";
import type { Pixels } from "./warp";

export const RECIPE_FILE = "recipe.json";
export const MODEL_FILE = "model.onnx";

/** A network and its recipe. */
export interface Network<R extends Recipe = Recipe> {
  /** Name of the network in messages. */
  readonly name: string;
  readonly recipe: R;
  readonly input: Input;
  /** Backend that runs the network. */
  readonly backend: Backend;
  /**
   * Run the network on images of the same size.
   *
   * @returns The values of each output.
   */
  run(images: readonly Pixels[]): Promise<Float32Array[]>;
  /** Release the memory of the network. */
  close(): Promise<void>;
}

/**
 * Load a network from a folder that `tools/export.py` wrote, on one backend.
 *
 * @param backend - Backend that runs the network.
 * @param folder - Folder with `model.onnx` and `recipe.json`.
 * @param runtime - See `Runtime`.
 */
export async function openOn(backend: Backend, folder: Folder, runtime?: Runtime): Promise<Network> {
  const [described, model] = await Promise.all([folder.read(RECIPE_FILE), folder.read(MODEL_FILE)]);
  const file = folder.name;
  if (!described || !model) throw new UserError("network.none", { file });
  if (model.byteLength > MAX_NETWORK_BYTES) {
    throw new UserError("file.large", { file, bytes: model.byteLength, max: MAX_NETWORK_BYTES });
  }
  const where = `${file}/${RECIPE_FILE}`;
  const recipe = readRecipe(textOf(described, where, MAX_RECIPE_BYTES), where);
  const input = buildInput(recipe.pixels, where);
  const ort = await startRuntime(backend, runtime);
  try {
    const session = await ort.InferenceSession.create(model, {
      executionProviders: [backend],
      graphOptimizationLevel: "all",
      logSeverityLevel: 3,
      // Threads that spin while they wait for the next image take CPU time from those that provide it.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    });
    return {
      name: file,
      recipe,
      input,
      backend,
      run: (images) => inTurn(() => run(ort, session, input, images, file)),
      close: () => session.release(),
    };
  } catch (error) {
    throw new UserError("network.run", { file, reason: reasonOf(error) });
  }
}

/** Runs are sequential: two concurrent ones on WebGPU would deadlock. */
const inTurn = turns();

async function run(
  ort: Ort,
  session: InferenceSession,
  input: Input,
  images: readonly Pixels[],
  file: string,
): Promise<Float32Array[]> {
  const { width, height } = images[0]!;
  const length = input.channels * width * height;
  const numbers = new Float32Array(length * images.length);
  images.forEach((image, index) => input.write(image, numbers, index * length));
  const crops = new ort.Tensor("float32", numbers, [images.length, input.channels, height, width]);
  try {
    const outputs = await session.run({ [session.inputNames[0]!]: crops });
    return session.outputNames.map((name) => outputs[name]!.data as Float32Array);
  } catch (error) {
    throw new UserError("network.run", { file, reason: reasonOf(error) });
  }
}

/** Return a black image, as a test input for a network. */
export function blank(width: number, height: number): Pixels {
  return { data: new Uint8ClampedArray(4 * width * height), width, height };
}
