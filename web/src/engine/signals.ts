/** What a face does: expressions, each as a number from 0 to 1. */
import { type Points, clamp } from "./geometry";
import { type Camera, fromTheFront } from "./pose";

/** Heads that are turned further, in degrees, say little about the face at rest. */
const STRAIGHT = 25;

/** One expression. */
interface Signal {
  /** From a face seen from the front, in units of the mean face. */
  readonly measure: (face: Points) => number;
  /** What it measures on a face at rest, the signal's 0. */
  readonly neutral: number;
  /** What it measures when the expression is complete, the signal's 1. */
  readonly full: number;
}

const x = (face: Points, index: number) => face[2 * index]!;
const height = (face: Points, indices: readonly number[]) =>
  indices.reduce((sum, index) => sum + face[2 * index + 1]!, 0) / indices.length;

/** How far points lie below others. */
const gap = (upper: readonly number[], lower: readonly number[]) => (face: Points) =>
  height(face, lower) - height(face, upper);

/** An eye's height over its width. */
const eye = (top: readonly number[], bottom: readonly number[], left: number, right: number) => (face: Points) =>
  gap(top, bottom)(face) / Math.max(x(face, right) - x(face, left), 0.05);

const lipWidth = (face: Points) => x(face, 54) - x(face, 48);

/** The lips' width, and how far their corners rise above their middle. */
const smile = (face: Points) => lipWidth(face) + gap([48, 54], [51, 57])(face);

const LEFT_BROW = [17, 18, 19, 20, 21];
const RIGHT_BROW = [22, 23, 24, 25, 26];

/** A new signal is one entry. "Left" is the viewer's. */
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

/** Which signal. */
export type SignalName = keyof typeof SIGNALS;

/** Names of all signals. */
export const SIGNAL_NAMES = Object.keys(SIGNALS) as SignalName[];

const ALL: readonly Signal[] = Object.values(SIGNALS);

/** What every signal measures on an average face at rest, in the order of `SIGNAL_NAMES`. */
export const AVERAGE_REST: readonly number[] = ALL.map(({ neutral }) => neutral);

/** What every signal measures, before it is scaled; NaN where the camera is. */
export function measure(points: Points, camera: Camera): number[] {
  const face = fromTheFront(points, camera);
  return ALL.map((signal) => signal.measure(face));
}

/**
 * What the face does, each signal 0 to 1; NaN where `measured` is.
 *
 * @param measured - See `measure`.
 * @param rest - What is measured on the person's face at rest.
 */
export function signalsOf(
  measured: readonly number[],
  rest: readonly number[] = AVERAGE_REST,
): Record<SignalName, number> {
  const values = ALL.map(({ neutral, full }, i) => clamp((measured[i]! - rest[i]!) / (full - neutral), 0, 1));
  return Object.fromEntries(SIGNAL_NAMES.map((name, i) => [name, values[i]!])) as Record<SignalName, number>;
}

/**
 * A person's face at rest, learned while it is watched.
 *
 * For some seconds what the face measures is gathered; its median is the person's own neutral. It starts from the
 * average person's and never moves further than half a signal. Turned heads are not learned from.
 */
export class Neutral {
  /** What the face measures at rest, in the order of `SIGNAL_NAMES`. */
  values: readonly number[] = AVERAGE_REST;
  private readonly seen: (readonly number[])[] = [];
  private start?: number;

  /** @param seconds - How long to learn. */
  constructor(private readonly seconds = 3) {}

  /** Take what a frame measures, the head's yaw in degrees and the frame's time. */
  learn(measured: readonly number[], yaw: number, seconds: number): void {
    if (this.start === undefined || seconds < this.start) this.start = seconds; // a film may begin again
    const watched = seconds - this.start;
    if (!(watched <= this.seconds && Math.abs(yaw) < STRAIGHT && measured.every(Number.isFinite))) return;
    this.seen.push(measured);
    const trust = Math.min((2 * watched) / Math.max(this.seconds, 1e-6), 1);
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
