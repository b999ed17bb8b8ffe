/** Facial expressions, each as a number from 0 to 1. */
import { type Points, clamp } from "./geometry";
import { type Camera, fromTheFront } from "./pose";

/** Maximum yaw in degrees for learning the neutral face; heads that are turned further are unreliable. */
const MAX_YAW = 25;

/** Definition of one expression. */
interface Signal {
  /** Function from a frontal face, in units of the mean face, to the measured value. */
  readonly measure: (face: Points) => number;
  /** Measured value of a neutral face, the signal's 0. */
  readonly neutral: number;
  /** Measured value of the complete expression, the signal's 1. */
  readonly full: number;
}

const x = (face: Points, index: number) => face[2 * index]!;
const height = (face: Points, indices: readonly number[]) =>
  indices.reduce((sum, index) => sum + face[2 * index + 1]!, 0) / indices.length;

/** Return a function that measures how far the mean of `lower` lies below that of `upper`. */
const gap = (upper: readonly number[], lower: readonly number[]) => (face: Points) =>
  height(face, lower) - height(face, upper);

/** Return a function that measures the height of an eye over its width. */
const eye = (top: readonly number[], bottom: readonly number[], left: number, right: number) => (face: Points) =>
  gap(top, bottom)(face) / Math.max(x(face, right) - x(face, left), 0.05);

const lipWidth = (face: Points) => x(face, 54) - x(face, 48);

/** Return the width of the lips plus the height of their corners above their middle. */
const smile = (face: Points) => lipWidth(face) + gap([48, 54], [51, 57])(face);

const LEFT_BROW = [17, 18, 19, 20, 21];
const RIGHT_BROW = [22, 23, 24, 25, 26];

/** Name -> signal. A new signal is one entry. "Left" is the viewer's left. */
const SIGNALS = {
  mouth_open: { measure: gap([61, 62, 63], [65, 66, 67]), neutral: 0.02, full: 0.12 },
  mouth_wide: { measure: smile, neutral: 0.37, full: 0.52 },
  lips_round: { measure: lipWidth, neutral: 0.34, full: 0.26 },
  left_eye_closed: { measure: eye([37, 38], [40, 41], 36, 39), neutral: 0.28, full: 0.16 },
  right_eye_closed: { measure: eye([43, 44], [46, 47], 42, 45), neutral: 0.28, full: 0.16 },
  brows_up: { measure: gap([...LEFT_BROW, ...RIGHT_BROW], [36, 39, 42, 45]), neutral: 0.14, full: 0.2 },
  left_brow_up: { measure: gap(LEFT_BROW, [36, 39]), neutral: 0.14, full: 0.2 },
  right_brow_up: { measure: gap(RIGHT_BROW, [42, 45]), neutral: 0.14, full: 0.2 },
} satisfies Record<string, Signal>;

/** Name of a signal. */
export type SignalName = keyof typeof SIGNALS;

/** Names of all signals. */
export const SIGNAL_NAMES = Object.keys(SIGNALS) as SignalName[];

const ALL: readonly Signal[] = Object.values(SIGNALS);

/** Measured values of the average neutral face, in the order of `SIGNAL_NAMES`. */
export const AVERAGE_REST: readonly number[] = ALL.map(({ neutral }) => neutral);

/** Return the measured values of all signals, before scaling; NaN where the camera is NaN. */
export function measure(points: Points, camera: Camera): number[] {
  const face = fromTheFront(points, camera);
  return ALL.map((signal) => signal.measure(face));
}

/**
 * Scale measured values to signals, 0 to 1; NaN where `measured` is NaN.
 *
 * @param measured - Measured values, see `measure`.
 * @param rest - Measured values of the person's neutral face.
 */
export function signalsOf(
  measured: readonly number[],
  rest: readonly number[] = AVERAGE_REST,
): Record<SignalName, number> {
  const values = ALL.map(({ neutral, full }, i) => clamp((measured[i]! - rest[i]!) / (full - neutral), 0, 1));
  return Object.fromEntries(SIGNAL_NAMES.map((name, i) => [name, values[i]!])) as Record<SignalName, number>;
}

/**
 * Neutral face of a person, learned from the first frames.
 *
 * Measured values are collected for some seconds; their median is the person's own neutral. It starts from the average
 * person's and never deviates by more than half a signal. Frames of turned heads are ignored.
 */
export class Neutral {
  /** Measured values of the neutral face, in the order of `SIGNAL_NAMES`. */
  values: readonly number[] = AVERAGE_REST;
  private readonly seen: (readonly number[])[] = [];
  private start?: number;

  /** @param seconds - Duration of learning. */
  constructor(private readonly seconds = 3) {}

  /** Add the measured values of a frame, with the head's yaw in degrees and the frame's time. */
  learn(measured: readonly number[], yaw: number, seconds: number): void {
    if (this.start === undefined || seconds < this.start) this.start = seconds; // a video may restart
    const elapsed = seconds - this.start;
    if (!(elapsed <= this.seconds && Math.abs(yaw) < MAX_YAW && measured.every(Number.isFinite))) return;
    this.seen.push(measured);
    const trust = Math.min((2 * elapsed) / Math.max(this.seconds, 1e-6), 1);
    this.values = ALL.map(({ neutral, full }, i) => {
      const middle = median(this.seen.map((each) => each[i]!));
      const span = full - neutral;
      return neutral + trust * clamp((middle - neutral) / span, -0.5, 0.5) * span;
    });
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
