/** Running ONNX networks with ONNX Runtime's WebAssembly, one-threaded where the page is not cross-origin isolated. */
import * as ort from "onnxruntime-web/wasm";
import { UserError, reasonOf } from "./errors";
import { type Folder, MAX_NETWORK_BYTES } from "./files";
import { clamp } from "./geometry";
import { type Input, buildInput } from "./pixels";
import { type Recipe, readRecipe } from "./recipe";
import type { Pixels } from "./warp";

export const RECIPE_FILE = "recipe.json";
export const MODEL_FILE = "model.onnx";

/** Where ONNX Runtime's own files lie, and how many threads it has. */
export interface Runtime {
  /** Address of a folder with `ort-wasm-simd-threaded.mjs` and `.wasm` (or `.wasm.gz`). */
  readonly folder: string;
  /** Threads; more than one needs a page that is cross-origin isolated. */
  readonly threads?: number;
}

/** A network and its recipe. */
export interface Network<R extends Recipe = Recipe> {
  /** What messages call it. */
  readonly name: string;
  readonly recipe: R;
  readonly input: Input;
  /**
   * Run the network on images of one size.
   *
   * @returns The numbers of each output.
   */
  run(images: readonly Pixels[]): Promise<Float32Array[]>;
  /** Give its memory back. */
  close(): Promise<void>;
}

/** More threads than this gain little; one core is left for the camera and the page. */
const MOST_THREADS = 4;

const GLUE = "ort-wasm-simd-threaded.mjs";
const BINARY = "ort-wasm-simd-threaded.wasm";

let started: Promise<void> | undefined;

/** Say once, before the first network, where ONNX Runtime's files lie; without it, its own rules hold. */
export function startRuntime(runtime?: Runtime): Promise<void> {
  started ??= start(runtime).catch((error: unknown) => {
    started = undefined;
    throw error;
  });
  return started;
}

async function start(runtime?: Runtime): Promise<void> {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD_PROBE)) throw new UserError("wasm.missing");
  const isolated = globalThis.crossOriginIsolated;
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = isolated ? (runtime?.threads ?? clamp(cores - 1, 1, MOST_THREADS)) : 1;
  if (!runtime) return;
  const folder = new URL(runtime.folder.replace(/\/*$/, "/"), globalThis.location?.href);
  ort.env.wasm.wasmPaths = { mjs: new URL(GLUE, folder).href };
  ort.env.wasm.wasmBinary = await fetchBinary(new URL(`${BINARY}.gz`, folder));
}

/** The binary travels packed, whatever the host does: a quarter of its size. */
async function fetchBinary(address: URL): Promise<ArrayBuffer> {
  try {
    const response = await fetch(address);
    if (!response.ok) throw new Error(String(response.status));
    const bytes = new Uint8Array(await response.arrayBuffer());
    const packed = bytes[0] === 0x1f && bytes[1] === 0x8b; // some hosts unpack it on the way
    if (!packed) return bytes.buffer;
    return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  } catch (error) {
    throw new UserError("file.missing", { file: address.pathname, reason: reasonOf(error) });
  }
}

/** A module whose one function uses a SIMD instruction. */
const SIMD_PROBE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
);

/**
 * Read a folder of `tools/export.py` and make the network ready.
 *
 * @param folder - Holds `model.onnx` and `recipe.json`.
 * @param runtime - See `startRuntime`.
 */
export async function openNetwork(folder: Folder, runtime?: Runtime): Promise<Network> {
  const [described, model] = await Promise.all([folder.read(RECIPE_FILE), folder.read(MODEL_FILE)]);
  const file = folder.name;
  if (!described || !model) throw new UserError("network.none", { file });
  if (model.byteLength > MAX_NETWORK_BYTES) {
    throw new UserError("file.large", { file, bytes: model.byteLength, most: MAX_NETWORK_BYTES });
  }
  const recipe = readRecipe(new TextDecoder().decode(described), `${file}/${RECIPE_FILE}`);
  const input = buildInput(recipe.pixels, `${file}/${RECIPE_FILE}`);
  await startRuntime(runtime);
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(model, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
      logSeverityLevel: 3,
      // Threads that wait in a loop for the next image take the processor from those who bring it.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    });
  } catch (error) {
    throw new UserError("network.run", { file, reason: reasonOf(error) });
  }
  return {
    name: file,
    recipe,
    input,
    run: (images) => run(session, input, images, file),
    close: () => session.release(),
  };
}

async function run(
  session: ort.InferenceSession,
  input: Input,
  images: readonly Pixels[],
  file: string,
): Promise<Float32Array[]> {
  const { width, height } = images[0]!;
  const each = input.channels * width * height;
  const numbers = new Float32Array(each * images.length);
  images.forEach((image, index) => input.write(image, numbers, index * each));
  const crops = new ort.Tensor("float32", numbers, [images.length, input.channels, height, width]);
  try {
    const outputs = await session.run({ [session.inputNames[0]!]: crops });
    return session.outputNames.map((name) => outputs[name]!.data as Float32Array);
  } catch (error) {
    throw new UserError("network.run", { file, reason: reasonOf(error) });
  }
}

/** A black image, to try a network on. */
export function blank(width: number, height: number): Pixels {
  return { data: new Uint8ClampedArray(4 * width * height), width, height };
}
