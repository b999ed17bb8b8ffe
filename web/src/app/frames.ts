/** The frames of a playing video element, each when it is shown, as fast as they are worked on and no faster. */

/** Takes a frame; the next one comes when it is done. */
export type Taker = (frame: VideoFrame | ImageBitmap, seconds: number) => Promise<void>;

/**
 * Hand over a video's frames until the returned function is called.
 *
 * @param video - Plays.
 * @param take - Owns the frame from then on.
 * @param failed - Told if a frame could not be taken; then there are no more.
 */
export function pump(video: HTMLVideoElement, take: Taker, failed: (error: unknown) => void): () => void {
  let running = true;
  const start = performance.now();
  const next = () => {
    if (!running) return;
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(() => void step());
    else requestAnimationFrame(() => void step());
  };
  const step = async () => {
    try {
      if (!running) return;
      if (video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && video.videoWidth) {
        await take(await grab(video), (performance.now() - start) / 1000);
      }
      next();
    } catch (error) {
      if (running) failed(error);
    }
  };
  next();
  return () => {
    running = false;
  };
}

/** The frame that a video shows now. */
function grab(video: HTMLVideoElement): VideoFrame | Promise<ImageBitmap> {
  return typeof VideoFrame === "undefined" ? createImageBitmap(video) : new VideoFrame(video);
}
