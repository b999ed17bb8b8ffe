/** Recording a canvas with sound, and saving what was made. */
import { PageError } from "./words";

const TYPES = ["video/mp4;codecs=avc1.42E01F,mp4a.40.2", "video/webm;codecs=vp8,opus", "video/webm", "video/mp4"];

/** A recording under way. */
export interface Recording {
  /**
   * End it; the film and the suffix of its file.
   *
   * @throws PageError if nothing was recorded.
   */
  stop(): Promise<{ film: Blob; suffix: string }>;
}

/** Whether this browser can record. */
export function canRecord(): boolean {
  return typeof MediaRecorder !== "undefined" && "captureStream" in HTMLCanvasElement.prototype;
}

/**
 * Record what a canvas shows.
 *
 * @param canvas - Shows the film.
 * @param sound - Its first audio track is recorded, if there is one.
 */
export function record(canvas: HTMLCanvasElement, sound: MediaStream | undefined): Recording {
  if (!canRecord()) throw new PageError("recordMissing");
  const stream = canvas.captureStream();
  sound?.getAudioTracks().forEach((track) => stream.addTrack(track));
  const type = TYPES.find((each) => MediaRecorder.isTypeSupported(each));
  const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 6_000_000 });
  const parts: Blob[] = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  // It may end by itself, when its encoder fails.
  const ended = new Promise<void>((done) => (recorder.onstop = recorder.onerror = () => done()));
  recorder.start(1000);
  return {
    async stop() {
      if (recorder.state !== "inactive") recorder.stop();
      await ended;
      stream.getVideoTracks().forEach((track) => track.stop());
      const film = new Blob(parts, { type: recorder.mimeType });
      if (!film.size) throw new PageError("recordEmpty");
      return { film, suffix: recorder.mimeType.startsWith("video/mp4") ? "mp4" : "webm" };
    },
  };
}

/** The sound of a video element, as a stream; it is still heard. */
export function soundOf(video: HTMLVideoElement): MediaStream {
  const audio = new AudioContext();
  const source = audio.createMediaElementSource(video);
  const recorded = audio.createMediaStreamDestination();
  source.connect(audio.destination);
  source.connect(recorded);
  void audio.resume();
  return recorded.stream;
}

/** Let the user keep a file; its name. */
export function save(blob: Blob, suffix: string): string {
  const now = new Date();
  const local = new Date(now.getTime() - 60_000 * now.getTimezoneOffset());
  const name = `facekp-${local.toISOString().slice(0, 19).replace(/[:T]/g, "-")}.${suffix}`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return name;
}
