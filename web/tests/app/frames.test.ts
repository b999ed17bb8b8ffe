import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type Frame, pump } from "../../src/app/frames";

/** A frame; the class counts the open ones. */
class FakeFrame {
  static open = 0;
  readonly number: number;
  constructor(video: FakeVideo) {
    this.number = video.number;
    FakeFrame.open++;
  }
  close() {
    FakeFrame.open--;
  }
}

/** A video that presents a frame at every call of `show`. */
class FakeVideo {
  readonly readyState = 2;
  readonly videoWidth = 4;
  number = 0;
  private waiting?: () => void;
  requestVideoFrameCallback(callback: () => void) {
    this.waiting = callback;
  }
  async show() {
    this.number++;
    this.waiting?.();
    await settled();
  }
}

const settled = () => new Promise((done) => setTimeout(done));

beforeEach(() => {
  FakeFrame.open = 0;
  vi.stubGlobal("HTMLMediaElement", { HAVE_CURRENT_DATA: 2 });
  vi.stubGlobal("VideoFrame", FakeFrame);
});
afterEach(() => void vi.unstubAllGlobals());

/** Start a pump; each frame is processed until its entry of `work` is settled. */
function start(video: FakeVideo) {
  const taken: number[] = [];
  const failures: unknown[] = [];
  const work: { done: () => void; fail: (error: Error) => void }[] = [];
  const take = (frame: Frame) => {
    taken.push((frame as unknown as FakeFrame).number);
    frame.close();
    return new Promise<void>((done, fail) => work.push({ done, fail }));
  };
  const stop = pump(video as unknown as HTMLVideoElement, take, (error) => failures.push(error));
  return { taken, failures, work, stop };
}

it("takes the newest frame when the last one is done, and closes those in between", async () => {
  const video = new FakeVideo();
  const { taken, work } = start(video);
  for (let i = 0; i < 4; i++) await video.show();
  expect(taken).toEqual([1]);
  expect(FakeFrame.open).toBe(1);
  work[0]!.done();
  await settled();
  expect(taken).toEqual([1, 4]);
  expect(FakeFrame.open).toBe(0);
  work[1]!.done();
  await settled();
  expect(taken).toEqual([1, 4]);
  await video.show();
  expect(taken).toEqual([1, 4, 5]);
});

it("takes nothing after it was stopped, and closes what waits", async () => {
  const video = new FakeVideo();
  const { taken, work, stop } = start(video);
  await video.show();
  await video.show();
  stop();
  work[0]!.done();
  await video.show();
  expect(taken).toEqual([1]);
  expect(FakeFrame.open).toBe(0);
});

it("ends with a failure, told once", async () => {
  const video = new FakeVideo();
  const { taken, failures, work } = start(video);
  await video.show();
  await video.show();
  work[0]!.fail(new Error("no"));
  await settled();
  await video.show();
  expect(failures).toEqual([new Error("no")]);
  expect(taken).toEqual([1]);
  expect(FakeFrame.open).toBe(0);
});
