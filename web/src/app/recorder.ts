/** Recording a canvas with sound, and saving the files. */
import { PageError } from "./words";

/** Return the types of a recording, the preferred first; the H.264 level limits the number of pixels of a frame. */
function typesFor({ width, height }: HTMLCanvasElement): string[] {
  const pixels = width * height;
  const level = pixels <= 1280 * 720 ? "1F" : pixels <= 1920 * 1088 ? "28" : "33";
  return [`video/mp4;codecs=avc1.42E0${level},mp4a.40.2`, "video/webm;codecs=vp8,opus", "video/webm", "video/mp4"];
}

/** A recording in progress. */
export interface Recording {
  /** Resolves when the recording has ended, also by itself, for example if its encoder fails. */
  readonly ended: Promise<void>;
  /**
   * End the recording; return the video and the suffix of its file.
   *
   * @throws PageError if nothing was recorded.
   */
  stop(): Promise<{ video: Blob; suffix: string }>;
}

/**
 * Record the content of a canvas.
 *
 * @param canvas - The canvas to record; its size must not change.
 * @param sound - Stream whose first audio track is recorded, if any.
 * @throws PageError if this browser cannot record.
 */
export function record(canvas: HTMLCanvasElement, sound: MediaStream | undefined): Recording {
  const supported = typeof MediaRecorder !== "undefined" && "captureStream" in canvas;
  const type = supported && typesFor(canvas).find((each) => MediaRecorder.isTypeSupported(each));
  if (!type) throw new PageError("recordMissing"); // WebKit on Linux may have the class but no encoder
  const stream = canvas.captureStream();
  sound?.getAudioTracks().forEach((track) => stream.addTrack(track));
  const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 6_000_000 });
  const parts: Blob[] = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise<void>((done) => (recorder.onstop = () => done())); // also fired after an error
  recorder.start(1000);
  return {
    ended,
    async stop() {
      if (recorder.state !== "inactive") recorder.stop();
      await ended;
      stream.getVideoTracks().forEach((track) => track.stop());
      const video = new Blob(parts, { type: recorder.mimeType });
      if (!video.size) throw new PageError("recordEmpty");
      return { video, suffix: recorder.mimeType.startsWith("video/mp4") ? "mp4" : "webm" };
    },
  };
}

/** The sound of a video element. */
export interface Sound {
  readonly stream: MediaStream;
  /** Resume the sound, which a phone call or a locked screen suspends. */
  resume(): void;
}

/** Return the sound of a video element as a stream; it remains audible. */
export function soundOf(video: HTMLVideoElement): Sound {
  const audio = new AudioContext();
  const source = audio.createMediaElementSource(video);
  const recorded = audio.createMediaStreamDestination();
  source.connect(audio.destination);
  source.connect(recorded);
  const resume = () => void audio.resume();
  resume();
  return { stream: recorded.stream, resume };
}

/** Download a file to the user's device; return its name. */
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
