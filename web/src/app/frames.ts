/** The frames of a playing video element, at the rate at which they are processed, each as recent as possible. */

/** A frame of a video. */
export type Frame = VideoFrame | ImageBitmap;

/** Processes a frame; the next one follows when the promise resolves. */
type Taker = (frame: Frame, seconds: number) => Promise<void>;

/**
 * Pass the frames of a video to a callback until the returned function is called.
 *
 * While one is processed, the newest of the next ones is kept, so that the processing need not wait for a frame.
 *
 * @param video - The playing video element.
 * @param take - Receives each frame and owns it from then on.
 * @param failed - Called with the error if a frame cannot be read or processed; no more frames follow.
 */
export function pump(video: HTMLVideoElement, take: Taker, failed: (error: unknown) => void): () => void {
  let running = true;
  let busy = false;
  let newest: { frame: Frame; seconds: number } | undefined;
  const start = performance.now();
  const stop = () => {
    running = false;
    newest?.frame.close();
    newest = undefined;
  };
  const attempt = async (step: () => Promise<void>) => {
    try {
      await step();
    } catch (error) {
      if (running) failed(error);
      stop();
    }
  };
  const schedule = () => {
    if (!running) return;
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(() => void attempt(capture));
    else requestAnimationFrame(() => void attempt(capture));
  };
  const capture = async () => {
    if (running && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && video.videoWidth) {
      const seconds = (performance.now() - start) / 1000;
      const frame = await grab(video);
      if (!running) return frame.close();
      newest?.frame.close();
      newest = { frame, seconds };
      if (!busy) void attempt(processAll);
    }
    schedule();
  };
  const processAll = async () => {
    busy = true;
    while (newest) {
      const { frame, seconds } = newest;
      newest = undefined;
      await take(frame, seconds);
    }
    busy = false;
  };
  schedule();
  return stop;
}

/** Return the current frame of a video. */
function grab(video: HTMLVideoElement): VideoFrame | Promise<ImageBitmap> {
  return typeof VideoFrame === "undefined" ? createImageBitmap(video) : new VideoFrame(video);
}
