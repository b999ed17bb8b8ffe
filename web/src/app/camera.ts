/** The camera and the microphone, and what is said when they are not to be had. */
import { PageError, type Word } from "./words";
import { reasonOf } from "../engine/errors";

/** Which way a camera looks. */
export type Facing = "user" | "environment";

const REASONS: Record<string, Word> = {
  NotAllowedError: "cameraRefused",
  SecurityError: "cameraRefused",
  NotFoundError: "cameraMissing",
  OverconstrainedError: "cameraMissing",
  NotReadableError: "cameraBusy",
  AbortError: "cameraBusy",
};

/** Ask for a camera. */
export async function openCamera(facing: Facing): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new PageError("cameraInsecure");
  try {
    return await navigator.mediaDevices.getUserMedia({
      video: { facingMode: facing, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
    });
  } catch (error) {
    const word = REASONS[(error as DOMException).name];
    throw word ? new PageError(word) : new PageError("cameraFailed", { reason: reasonOf(error) });
  }
}

/** Ask for the microphone; undefined if it is not to be had. */
export async function openMicrophone(): Promise<MediaStream | undefined> {
  try {
    return await navigator.mediaDevices?.getUserMedia({ audio: true });
  } catch {
    return undefined;
  }
}

/** Switch a stream's devices off. */
export function stopStream(stream: MediaStream | null | undefined): void {
  stream?.getTracks().forEach((track) => track.stop());
}
