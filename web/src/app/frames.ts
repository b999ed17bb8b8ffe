/** The frames of a playing video element, as fast as they are worked on and no faster, each as new as may be. */

/** A frame of a video. */
export type Frame = VideoFrame | ImageBitmap;

/** Takes a frame; the next one comes when it is done. */
type Taker = (frame: Frame, seconds: number) => Promise<void>;

/**
 * Hand over a video's frames until the returned function is called.
 *
 * While one is worked on, the newest of those that come is kept, so that the work need not wait for the next one.
 *
 * @param video - Plays.
 * @param take - Owns the frame from then on.
 * @param failed - Told if a frame could not be taken; then there are no more.
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
  const watch = () => {
    if (!running) return;
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(() => void attempt(see));
    else requestAnimationFrame(() => void attempt(see));
  };
  const see = async () => {
    if (running && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && video.videoWidth) {
      const seconds = (performance.now() - start) / 1000;
      const frame = await grab(video);
      if (!running) return frame.close();
      newest?.frame.close();
      newest = { frame, seconds };
      if (!busy) void attempt(work);
    }
    watch();
  };
  const work = async () => {
    busy = true;
    while (newest) {
      const { frame, seconds } = newest;
      newest = undefined;
      await take(frame, seconds);
    }
    busy = false;
  };
  watch();
  return stop;
}

/** The frame that a video shows now. */
function grab(video: HTMLVideoElement): VideoFrame | Promise<ImageBitmap> {
  return typeof VideoFrame === "undefined" ? createImageBitmap(video) : new VideoFrame(video);
}
