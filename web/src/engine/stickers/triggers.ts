/** When a layer is shown: what the face must do for it. */
import type { SignalName } from "../signals";

/** No trigger changes its mind sooner, in seconds: what flickers is noise. */
const STEADY = 0.15;

/** Shows a layer when the face does something. */
export interface Trigger {
  readonly signal: SignalName;
  /** From this value on the layer is shown, */
  readonly on: number;
  /** until the signal is no longer above this one; at most `on`. */
  readonly off: number;
  /** Shown for at least so long, in milliseconds. */
  readonly holdMs: number;
  /**
   * "while": the frames repeat for as long as the trigger is on. "burst": they play once, whatever the face does
   * meanwhile; the signal must fall to `off` before they can play again.
   */
  readonly mode: "while" | "burst";
}

/** Where a layer's frames stand that has no before: the middle of a burst, the beginning otherwise; in seconds. */
export function still(trigger: Trigger | undefined, length: number): number {
  return trigger?.mode === "burst" ? length / 2 : 0;
}

/**
 * Seconds into the frames on a single image.
 *
 * @param trigger - The trigger.
 * @param value - Of its signal.
 * @param length - Of all frames, in seconds.
 * @returns null: not shown.
 */
export function atOnce(trigger: Trigger, value: number, length: number): number | null {
  return value >= trigger.on ? still(trigger, length) : null;
}

/** A trigger's state, for one layer on one face. */
export class Switch {
  private on = false;
  private changed = -Infinity;

  /**
   * Take the signal of the next frame.
   *
   * @param trigger - The trigger, always the same.
   * @param value - Of its signal; NaN counts as nothing.
   * @param seconds - When the frame is shown.
   * @param length - Of all the layer's frames, in seconds.
   * @returns Seconds since the trigger fired; null: the layer is not shown.
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
