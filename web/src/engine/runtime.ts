/** Loading and configuring ONNX Runtime. */
import * as wasm from "onnxruntime-web/wasm";
import { UserError, reasonOf } from "./errors";
import { clamp } from "./geometry";

/** Backend that runs networks: on the CPU, or on the GPU. */
export type Backend = "wasm" | "webgpu";

/** Settings of ONNX Runtime: address of its files, threads and backend. */
export interface Runtime {
  /** Address of a folder with `ort-wasm-simd-threaded.mjs` and `.wasm` (or `.wasm.gz`). */
  readonly folder: string;
  /** Number of threads; more than one requires a page that is cross-origin isolated. */
  readonly threads?: number;
  /** With "webgpu", each network is timed on both backends when it is loaded, and runs on the faster one. */
  readonly backend?: Backend;
}

/** ONNX Runtime as a module. */
export type Ort = typeof wasm;

/** Maximum default number of threads, as more gain little; one core is left for the camera and the page. */
const MAX_THREADS = 4;

/** Names of ONNX Runtime's files, without extension. */
const FILES: Record<Backend, string> = { wasm: "ort-wasm-simd-threaded", webgpu: "ort-wasm-simd-threaded.asyncify" };

const started = new Map<Backend, Promise<Ort>>();

/** Start ONNX Runtime, once per backend, with the `runtime` of the first call, or with its defaults if it has none. */
export function startRuntime(backend: Backend, runtime?: Runtime): Promise<Ort> {
  const starting =
    started.get(backend) ??
    start(backend, runtime).catch((error: unknown) => {
      started.delete(backend);
      throw error;
    });
  started.set(backend, starting);
  return starting;
}

async function start(backend: Backend, runtime?: Runtime): Promise<Ort> {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD_PROBE)) throw new UserError("wasm.missing");
  const ort = backend === "webgpu" ? await import("onnxruntime-web/webgpu") : wasm;
  if (!runtime) return ort;
  const threaded = globalThis.crossOriginIsolated && backend === "wasm";
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threaded ? (runtime.threads ?? clamp(cores - 1, 1, MAX_THREADS)) : 1;
  const folder = new URL(runtime.folder.replace(/\/*$/, "/"), globalThis.location?.href);
  ort.env.wasm.wasmPaths = { mjs: new URL(`${FILES[backend]}.mjs`, folder).href };
  ort.env.wasm.wasmBinary = await fetchBinary(new URL(`${FILES[backend]}.wasm`, folder));
  return ort;
}

/** Fetch the binary, if possible gzipped (a quarter of its size), whether or not the host decompresses it. */
async function fetchBinary(address: URL): Promise<ArrayBuffer> {
  try {
    const gzipped = await fetch(`${address.href}.gz`);
    const response = gzipped.status === 404 ? await fetch(address) : gzipped;
    if (!response.ok) throw new Error(String(response.status));
    const bytes = new Uint8Array(await response.arrayBuffer());
    const packed = bytes[0] === 0x1f && bytes[1] === 0x8b; // some hosts decompress it in transit
    if (!packed) return bytes.buffer;
    return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  } catch (error) {
    throw new UserError("file.missing", { file: address.pathname, reason: reasonOf(error) });
  }
}

/** A WebAssembly module whose only function uses a SIMD instruction. */
const SIMD_PROBE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
);

interface Adapter {
  readonly info?: { readonly isFallbackAdapter?: boolean };
}

/** Return whether the browser has WebGPU on a GPU, not emulated on the CPU. */
export async function hasGpu(): Promise<boolean> {
  const { gpu } = globalThis.navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  return !!adapter && !adapter.info?.isFallbackAdapter;
}
