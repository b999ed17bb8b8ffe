/** Access to the camera and the microphone, and the errors when they are not available. */
import { PageError, type Word } from "./words";
import { reasonOf } from "../engine/errors";

/** A camera: selected by its direction on a phone, or by its device id on a computer. */
export type Camera = { readonly facingMode: "user" | "environment" } | { readonly deviceId: string };

const REASONS: Record<string, Word> = {
  NotAllowedError: "cameraRefused",
  SecurityError: "cameraRefused",
  NotFoundError: "cameraMissing",
  OverconstrainedError: "cameraMissing",
  NotReadableError: "cameraBusy",
  AbortError: "cameraBusy",
};

/** Return the camera that follows the current one. */
export async function cameraAfter(current: MediaStream): Promise<Camera> {
  const { facingMode, deviceId } = current.getVideoTracks()[0]!.getSettings();
  if (facingMode) return { facingMode: facingMode === "user" ? "environment" : "user" };
  const all = await navigator.mediaDevices.enumerateDevices();
  const cameras = all.filter(({ kind }) => kind === "videoinput").map((device) => device.deviceId);
  return { deviceId: cameras[(cameras.indexOf(deviceId ?? "") + 1) % cameras.length] ?? "" };
}

/** Request a camera; if it does not exist, the browser opens another one. */
export async function openCamera(camera: Camera): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new PageError("cameraInsecure");
  try {
    return await navigator.mediaDevices.getUserMedia({
      video: { ...camera, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
    });
  } catch (error) {
    const word = REASONS[(error as DOMException).name];
    throw word ? new PageError(word) : new PageError("cameraFailed", { reason: reasonOf(error) });
  }
}

/** Request the microphone; return undefined if it is not available. */
export async function openMicrophone(): Promise<MediaStream | undefined> {
  try {
    return await navigator.mediaDevices?.getUserMedia({ audio: true });
  } catch {
    return undefined;
  }
}

/** Stop all tracks of a stream, which turns its devices off. */
export function stopStream(stream: MediaStream | null | undefined): void {
  stream?.getTracks().forEach((track) => track.stop());
}
