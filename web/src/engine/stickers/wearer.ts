/** The face that wears a sticker, and what layers ask of it. */
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

/** The middle of the face from the brows down. */
const MIDDLE = [27, 28, 29, 30, 33, 51, 57, 8];

/** How wide the far half of the face stays at least, of its width from the front. */
const LEAST_WIDTH = 0.3;

/** Over so many degrees a side of the head fades before it is hidden. */
const FADE = 15;

const MEAN_PLACES = anchors(MEAN_FACE);

/** One of several faces. What nobody asks for is not worked out. */
export class Wearer {
  private knownPose?: Pose;
  private knownAnchors?: Record<string, Point>;
  private knownOutline?: Float64Array;
  private knownSignals?: Record<SignalName, number>;

  /**
   * @param face - As the landmarker or the tracker returned it.
   * @param rank - Which one of the picture; 0 is the largest.
   */
  constructor(
    private readonly face: Face | TrackedFace,
    readonly rank: number,
  ) {}

  get points(): Points {
    return this.face.points;
  }

  /** How the head is turned. */
  get pose(): Pose {
    return (this.knownPose ??= headPose(this.points));
  }

  /** Pixels that the average face is wide when seen from the front by this face's camera, however it is turned. */
  get width(): number {
    const [a, b, c] = this.pose.camera;
    return Math.hypot(a, b, c);
  }

  /** Place of the face -> pixels. */
  get anchors(): Record<string, Point> {
    return (this.knownAnchors ??= anchors(this.points, this.pose));
  }

  /** Polygon around the skin. */
  get outline(): Float64Array {
    return (this.knownOutline ??= faceOutline(this.points, this.pose));
  }

  private get signals(): Record<SignalName, number> {
    const rest = "rest" in this.face ? this.face.rest : undefined;
    return (this.knownSignals ??= signalsOf(measure(this.points, this.pose.camera), rest));
  }

  /** What a layer is tied to: places, or the mesh of the whole face. */
  target(places: readonly string[], fit: Fit): Float64Array {
    if (fit === "face") return meshPoints(this.points, this.pose);
    const target = places.map((name) => this.anchors[name]!);
    return Float64Array.from((fit === "mesh" ? this.unfolded(places, target) : target).flat());
  }

  /** Keep places of the far side from passing behind the face's middle: a bent picture cannot be folded. */
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
      const short = interpolate(y, heights, middle) + LEAST_WIDTH * beyond * this.width - along(place);
      return short > 0 ? [place[0] + short * cos, place[1] + short * sin] : place;
    });
  }

  /**
   * How long a layer's trigger has been on; null: it is off.
   *
   * A face that is followed through a video remembers it; a face of a photo has no before.
   *
   * @param layer - Whose trigger it is.
   * @param trigger - The trigger.
   * @param seconds - When the picture is shown.
   * @param length - Of the layer's frames, in seconds.
   */
  shownFor(layer: object, trigger: Trigger, seconds: number, length: number): number | null {
    const value = this.signals[trigger.signal];
    if (!("memory" in this.face)) return atOnce(trigger, value, length);
    let state = this.face.memory.get(layer);
    if (!(state instanceof Switch)) this.face.memory.set(layer, (state = new Switch()));
    return (state as Switch).next(trigger, value, seconds, length);
  }

  /** How visible a side of the head is: 1, and less over the last degrees of yaw before it is hidden. */
  facing(side: Side, hiddenFrom: number): number {
    if (side === "none" || Number.isNaN(this.pose.yaw)) return 1;
    return clamp((hiddenFrom - (side === "right" ? this.pose.yaw : -this.pose.yaw)) / FADE, 0, 1);
  }
}

/** The value at x of a line through points that ascend. */
function interpolate(x: number, xs: readonly number[], ys: readonly number[]): number {
  const after = xs.findIndex((each) => each >= x);
  if (after === 0) return ys[0]!;
  if (after < 0) return ys.at(-1)!;
  const share = (x - xs[after - 1]!) / (xs[after]! - xs[after - 1]!);
  return ys[after - 1]! + share * (ys[after]! - ys[after - 1]!);
}
