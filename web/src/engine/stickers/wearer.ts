/** The face that wears a sticker, with the geometry that layers need. */
import type { Face } from "../faces";
import { type Point, type Points, clamp } from "../geometry";
import { MEAN_FACE, headPoint } from "../head";
import { anchors, faceOutline } from "../landmarks";
import { type Pose, headPose, project } from "../pose";
import { type SignalName, measure, signalsOf } from "../signals";
import type { TrackedFace } from "../tracking";
import type { Fit, Side } from "./manifest";
import { meshPoints } from "./mesh";
import { Switch, type Trigger, atOnce } from "./triggers";

/** Midline of the face from the brows down. */
const MIDDLE = [27, 28, 29, 30, 33, 51, 57, 8];

/** Minimum width of the far half of the face, as a fraction of that from the front. */
const MIN_WIDTH = 0.3;

/** Degrees of yaw over which a side of the head fades before it is hidden. */
const FADE = 15;

const MEAN_PLACES = anchors(MEAN_FACE);

/** One of several faces, whose properties are computed on first use. */
export class Wearer {
  private knownPose?: Pose;
  private knownAnchors?: Record<string, Point>;
  private knownOutline?: Float64Array;
  private knownSignals?: Record<SignalName, number>;

  /**
   * @param face - Face as returned by the landmarker or the tracker.
   * @param rank - Index of the face in the image; 0 is the largest.
   */
  constructor(
    private readonly face: Face | TrackedFace,
    readonly rank: number,
  ) {}

  get points(): Points {
    return this.face.points;
  }

  /** Head pose. */
  get pose(): Pose {
    return (this.knownPose ??= headPose(this.points));
  }

  /** Width in pixels of the average face seen from the front by this face's camera, at any head pose. */
  get width(): number {
    const [a, b, c] = this.pose.camera;
    return Math.hypot(a, b, c);
  }

  /** Name of a place of the face -> pixels. */
  get anchors(): Record<string, Point> {
    return (this.knownAnchors ??= anchors(this.points, this.pose));
  }

  /** Polygon around the skin, in pixels. */
  get outline(): Float64Array {
    return (this.knownOutline ??= faceOutline(this.points, this.pose));
  }

  private get signals(): Record<SignalName, number> {
    const rest = "rest" in this.face ? this.face.rest : undefined;
    return (this.knownSignals ??= signalsOf(measure(this.points, this.pose.camera), rest));
  }

  /** Return the positions to fit a layer to: `places`, or the mesh of the whole face if `fit` is "face". */
  target(places: readonly string[], fit: Fit): Float64Array {
    if (fit === "face") return meshPoints(this.points, this.pose);
    const target = places.map((name) => this.anchors[name]!);
    return Float64Array.from((fit === "mesh" ? this.unfolded(places, target) : target).flat());
  }

  /** Keep places of the far side from passing behind the midline of the face: a warped image cannot fold. */
  private unfolded(places: readonly string[], target: readonly Point[]): Point[] {
    const { yaw, roll, camera } = this.pose;
    const towards = Math.sign(yaw); // the far side
    const [cos, sin] = [Math.cos((roll * Math.PI) / 180) * towards, Math.sin((roll * Math.PI) / 180) * towards];
    const along = ([x, y]: Point) => x * cos + y * sin;
    const middle = MIDDLE.map((index) => along(project(camera, headPoint(index))));
    const heights = MIDDLE.map((index) => MEAN_FACE[2 * index + 1]!);
    return target.map((place, i) => {
      const [x, y] = MEAN_PLACES[places[i]!]!;
      const beyond = towards * (x - 0.5);
      if (!(beyond > 0.02)) return place;
      const short = interpolate(y, heights, middle) + MIN_WIDTH * beyond * this.width - along(place);
      return short > 0 ? [place[0] + short * cos, place[1] + short * sin] : place;
    });
  }

  /**
   * Return how long a layer's trigger has been on, in seconds; null if it is off.
   *
   * A face that is tracked through a video keeps the state; a face of a photo has no history.
   *
   * @param layer - Layer that the trigger belongs to.
   * @param trigger - The trigger.
   * @param seconds - Time of the image in seconds.
   * @param length - Total duration of the layer's frames in seconds.
   */
  shownFor(layer: object, trigger: Trigger, seconds: number, length: number): number | null {
    const value = this.signals[trigger.signal];
    if (!("memory" in this.face)) return atOnce(trigger, value, length);
    let state = this.face.memory.get(layer);
    if (!(state instanceof Switch)) this.face.memory.set(layer, (state = new Switch()));
    return (state as Switch).next(trigger, value, seconds, length);
  }

  /** Return the visibility of a side of the head: 1, fading to 0 over the last degrees of yaw before it is hidden. */
  facing(side: Side, hiddenFrom: number): number {
    if (side === "none" || Number.isNaN(this.pose.yaw)) return 1;
    return clamp((hiddenFrom - (side === "right" ? this.pose.yaw : -this.pose.yaw)) / FADE, 0, 1);
  }
}

/** Return the value at x of the piecewise linear function through points with ascending `xs`. */
function interpolate(x: number, xs: readonly number[], ys: readonly number[]): number {
  const after = xs.findIndex((each) => each >= x);
  if (after === 0) return ys[0]!;
  if (after < 0) return ys.at(-1)!;
  const share = (x - xs[after - 1]!) / (xs[after]! - xs[after - 1]!);
  return ys[after - 1]! + share * (ys[after]! - ys[after - 1]!);
}
