/** Triggers: layers that are shown while the face makes an expression. */
import type { SignalName } from "../signals";

/** Minimum time between two changes of a trigger in seconds; faster changes are noise. */
const STEADY = 0.15;

/** Condition that shows a layer when the face makes an expression. */
export interface Trigger {
  readonly signal: SignalName;
  /** Value of the signal from which the layer is shown. */
  readonly on: number;
  /** Value of the signal at or below which the layer is hidden again; at most `on`. */
  readonly off: number;
  /** Minimum time for which the layer is shown, in milliseconds. */
  readonly holdMs: number;
  /**
   * "while": the frames repeat for as long as the trigger is on. "burst": they play once, regardless of the signal,
   * which must fall to `off` before they can play again.
   */
  readonly mode: "while" | "burst";
}

/** Return the position in seconds within the frames of a layer without history: the middle of a burst, else 0. */
export function still(trigger: Trigger | undefined, length: number): number {
  return trigger?.mode === "burst" ? length / 2 : 0;
}

/**
 * Evaluate a trigger for a single image, which has no history.
 *
 * @param trigger - The trigger.
 * @param value - Value of its signal.
 * @param length - Total duration of the frames in seconds.
 * @returns Position within the frames in seconds; null if the layer is not shown.
 */
export function atOnce(trigger: Trigger, value: number, length: number): number | null {
  return value >= trigger.on ? still(trigger, length) : null;
}

/** State of a trigger for one layer on one face. */
export class Switch {
  private on = false;
  private changed = -Infinity;

  /**
   * Update the state with the signal of the next frame.
   *
   * @param trigger - The trigger, always the same.
   * @param value - Value of its signal; NaN counts as no signal.
   * @param seconds - Time of the frame in seconds.
   * @param length - Total duration of the layer's frames in seconds.
   * @returns Seconds since the trigger fired; null if the layer is not shown.
   */
  next(trigger: Trigger, value: number, seconds: number, length: number): number | null {
    let since = seconds - this.changed;
    const burst = trigger.mode === "burst";
    const hold = Math.max(trigger.holdMs / 1000, burst ? length : 0);
    const falls = this.on && !(value > trigger.off);
    const change = falls ? since >= Math.max(STEADY, hold) : !this.on && value >= trigger.on && since >= STEADY;
    if (change) {
      this.on = !this.on;
      this.changed = seconds;
      since = 0;
    }
    return this.on && !(burst && since >= hold) ? since : null;
  }
}
