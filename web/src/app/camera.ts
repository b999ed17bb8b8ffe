/** The camera and the microphone, and what is said when they are not available. */
import { PageError, type Word } from "./words";
import { reasonOf } from "../engine/errors";

/** Which camera: the way it looks on a phone, or one of those of a computer. */
export type Camera = { readonly facingMode: "user" | "environment" } | { readonly deviceId: string };

const REASONS: Record<string, Word> = {
  NotAllowedError: "cameraRefused",
  SecurityError: "cameraRefused",
  NotFoundError: "cameraMissing",
  OverconstrainedError: "cameraMissing",
  NotReadableError: "cameraBusy",
  AbortError: "cameraBusy",
};

/** The camera after the one that is on. */
export async function cameraAfter(current: MediaStream): Promise<Camera> {
  const { facingMode, deviceId } = current.getVideoTracks()[0]!.getSettings();
  if (facingMode) return { facingMode: facingMode === "user" ? "environment" : "user" };
  const all = await navigator.mediaDevices.enumerateDevices();
  const cameras = all.filter(({ kind }) => kind === "videoinput").map((device) => device.deviceId);
  return { deviceId: cameras[(cameras.indexOf(deviceId ?? "") + 1) % cameras.length] ?? "" };
}

/** Ask for a camera; another one is opened where there is no such one. */
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

/** Ask for the microphone; undefined if it is not available. */
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
