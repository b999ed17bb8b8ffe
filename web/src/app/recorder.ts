/** Recording a canvas with sound, and saving what was made. */
import { PageError } from "./words";

/** What a recording may be, the best first; H.264's level says how many pixels a frame may have. */
function typesFor({ width, height }: HTMLCanvasElement): string[] {
  const pixels = width * height;
  const level = pixels <= 1280 * 720 ? "1F" : pixels <= 1920 * 1088 ? "28" : "33";
  return [`video/mp4;codecs=avc1.42E0${level},mp4a.40.2`, "video/webm;codecs=vp8,opus", "video/webm", "video/mp4"];
}

/** A recording under way. */
export interface Recording {
  /** Settles when it has ended, also by itself, as when its encoder fails. */
  readonly ended: Promise<void>;
  /**
   * End it; the video and the suffix of its file.
   *
   * @throws PageError if nothing was recorded.
   */
  stop(): Promise<{ video: Blob; suffix: string }>;
}

/**
 * Record what a canvas shows.
 *
 * @param canvas - Shows the frames, all of one size.
 * @param sound - Its first audio track is recorded, if there is one.
 * @throws PageError if this browser cannot record.
 */
export function record(canvas: HTMLCanvasElement, sound: MediaStream | undefined): Recording {
  const there = typeof MediaRecorder !== "undefined" && "captureStream" in canvas;
  const type = there && typesFor(canvas).find((each) => MediaRecorder.isTypeSupported(each));
  if (!type) throw new PageError("recordMissing"); // on Linux WebKit may have the class and no encoder
  const stream = canvas.captureStream();
  sound?.getAudioTracks().forEach((track) => stream.addTrack(track));
  const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 6_000_000 });
  const parts: Blob[] = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise<void>((done) => (recorder.onstop = () => done())); // behind an error, too
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
  /** Let it be heard again; a phone call, or the lock of a screen, suspends it. */
  resume(): void;
}

/** The sound of a video element, as a stream; it is still heard. */
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
