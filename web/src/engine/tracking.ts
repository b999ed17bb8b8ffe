/** Face tracking in videos: detect once, then follow; smoothed points; an id for every face. */
import { area, iou, isPart } from "./boxes";
import { type Face, faceOf } from "./faces";
import { type Box, clamp } from "./geometry";
import { type Source, toPixels } from "./image";
import type { Landmarker } from "./landmarker";
import { eyeDistance } from "./landmarks";
import { headPose } from "./pose";
import { Neutral, measure } from "./signals";
import type { Pixels } from "./warp";

/** Minimum intersection over union of two boxes of the same face. */
const SAME_TRACK = 0.3;

/** Network score below which a face is lost, seconds for which a lost face is kept, seconds in which it then fades. */
const [LOST, LOST_HOLD, LOST_FADE] = [0.05, 0.1, 0.15];

/** Mean difference of two frames in grey levels, above which there is a cut: lost faces are then discarded at once. */
const CUT = 30;

/** Minimum network score of a face that is certainly in its place. */
const SURE = 0.5;

/**
 * A face that is no longer in its place is matched to a new one: maximum distance of their centres, in sides of the
 * larger box, and minimum ratio of their areas.
 */
const [NEAR, ALIKE] = [1, 0.4];

/** A face's rank changes only when its area changes by more than this factor, so that equal faces do not swap ranks. */
const SAME_SIZE = 1.25;

/** While all faces are confirmed, every `FULL_EVERY`-th detection also searches for small faces. */
const FULL_EVERY = 4;

/** Cutoff frequency in Hz for the speed itself. */
const SPEED_CUTOFF = 1;

/**
 * The One-Euro filter (Casiez, Roussel and Vogel, 2012) for the points of one face.
 *
 * A slow point is smoothed strongly, a fast one hardly delayed. Speed is measured in eye distances per second, so that
 * smoothing is the same at every resolution. A point's speed is averaged with its neighbours', which share its motion
 * but not its noise.
 */
export class OneEuro {
  private points?: Float64Array;
  private raw = new Float64Array();
  private speed = new Float64Array();
  private seconds = 0;

  /**
   * @param cutoff - Cutoff frequency in Hz for a point at rest; lower is smoother.
   * @param beta - Increase of the cutoff in Hz per (eye distance / second); higher follows faster.
   */
  constructor(
    private readonly cutoff = 0.2,
    private readonly beta = 8,
  ) {}

  /** Filter the points of the next frame, shown at `seconds`; return them smoothed. */
  next(points: ArrayLike<number>, seconds: number): Float64Array {
    const raw = Float64Array.from(points);
    const step = seconds - this.seconds;
    if (this.points?.length !== raw.length) {
      this.points = raw;
      this.speed = new Float64Array(raw.length);
    } else if (step > 0) {
      const per = 1 / (Math.max(eyeDistance(raw), 1e-6) * step);
      const speed = blur(raw.map((value, i) => (value - this.raw[i]!) * per));
      const speedWeight = weight(SPEED_CUTOFF, step);
      this.speed = this.speed.map((old, i) => old + speedWeight * (speed[i]! - old));
      this.points = this.points.map((old, i) => {
        const first = i & ~1;
        const cutoff = this.cutoff + this.beta * Math.hypot(this.speed[first]!, this.speed[first + 1]!);
        return old + weight(cutoff, step) * (raw[i]! - old);
      });
    }
    this.raw = raw;
    this.seconds = seconds;
    return this.points;
  }
}

/** Return the weight of the new value in a low-pass filter of `cutoff` Hz after `step` seconds. */
function weight(cutoff: number, step: number): number {
  return 1 / (1 + 1 / (2 * Math.PI * cutoff * step));
}

/** Average every point with its two neighbours on each side; the first and the last point are repeated. */
function blur(points: Float64Array): Float64Array {
  const count = points.length / 2;
  return points.map((_, i) => {
    let sum = 0;
    for (let step = -2; step <= 2; step++) sum += points[2 * clamp((i >> 1) + step, 0, count - 1) + (i & 1)]!;
    return sum / 5;
  });
}

/** A face with a track id, which it keeps for as long as it is tracked. */
export interface TrackedFace extends Face {
  readonly id: number;
  /** Seconds since the detector last found the face. */
  readonly unseen: number;
  /** Measurements of the signals on this person's face at rest, as far as known. */
  readonly rest: readonly number[];
  /** Data that other code keeps about a face from frame to frame; discarded with its track. */
  readonly memory: WeakMap<object, object>;
}

interface Track {
  readonly id: number;
  readonly smooth: OneEuro;
  readonly neutral: Neutral;
  readonly memory: WeakMap<object, object>;
  points: Float32Array; // as found, unsmoothed
  box: Box;
  score: number;
  confirmed: number; // when the detector last found it, in seconds
  lost: number; // since when the network has found no face in its place, in seconds
  size: number; // area of the box, for the rank; see `SAME_SIZE`
}

/** Options of a `Tracker`. */
export interface TrackerOptions {
  /** Number of frames from one detection to the next; fewer if they take longer than `hold`. */
  readonly detectEvery?: number;
  /** The same while a face was missed by the last detection. */
  readonly retryEvery?: number;
  /** Seconds for which an unconfirmed face keeps its score. */
  readonly hold?: number;
  /** Seconds in which its score then falls to zero. */
  readonly fade?: number;
  /** See `OneEuro`; `Infinity` turns smoothing off. */
  readonly cutoff?: number;
  /** See `OneEuro`. */
  readonly beta?: number;
}

/**
 * Follows faces from frame to frame.
 *
 * The next frame is searched around the points of this one, so that the detector runs only at intervals, shorter ones
 * while a face is unconfirmed. Such a face is kept for `hold` seconds, fades and is discarded. Where the network no
 * longer finds a face, the detector runs at once, and a face that it does not confirm is discarded within a quarter of
 * a second, or at once if the frame differs strongly from the last one.
 */
export class Tracker {
  private readonly options: Required<TrackerOptions>;
  private tracks: Track[] = [];
  private thumbnail = new Uint8Array();
  private frame = 0;
  private nextId = 0;
  private detected = 0;
  private detections = 0;

  constructor(
    private readonly landmarker: Pick<Landmarker, "detect" | "follow">,
    options: TrackerOptions = {},
  ) {
    this.options = { detectEvery: 15, retryEvery: 3, hold: 0.5, fade: 0.5, cutoff: 0.2, beta: 8, ...options };
  }

  /**
   * Process the next frame, shown at `seconds`; return the faces in it, largest first.
   *
   * Faces of similar size keep their order: a sticker for one face does not jump between two.
   */
  async next(frame: Source, seconds: number): Promise<TrackedFace[]> {
    const image = toPixels(frame);
    const cut = this.isCut(image);
    const { detectEvery, retryEvery, hold } = this.options;
    const regular = this.frame++ % (this.unsure ? retryEvery : detectEvery) === 0;
    // At a low frame rate, `detectEvery` frames last longer than an unconfirmed face is kept.
    const due = this.tracks.length > 0 && seconds - this.detected >= hold;
    if (regular || due) await this.detect(image, seconds, cut);
    else {
      await this.follow(image, this.tracks, seconds);
      if (this.tracks.some((track) => track.lost === seconds)) await this.detect(image, seconds, cut);
    }
    this.tracks = this.tracks.filter(
      (track) => this.visible(track, seconds) > 0 && centreInside(track.box, image) && !(cut && track.lost === seconds),
    );
    const shown = this.tracks.map((track) => {
      const points = Float32Array.from(track.smooth.next(track.points, seconds));
      const { camera, yaw } = headPose(points);
      track.neutral.learn(measure(points, camera), yaw, seconds);
      const face = faceOf(points, track.score * this.visible(track, seconds));
      const change = area(face.box) / track.size;
      if (change < 1 / SAME_SIZE || change > SAME_SIZE) track.size = area(face.box);
      return {
        ...face,
        id: track.id,
        unseen: seconds - track.confirmed,
        rest: track.neutral.values,
        memory: track.memory,
      };
    });
    const sizes = new Map(this.tracks.map(({ id, size }) => [id, size]));
    return shown.sort((a, b) => sizes.get(b.id)! - sizes.get(a.id)!);
  }

  /** Return whether a frame differs strongly from the last one; compares about a thousand pixels. */
  private isCut({ data, width, height }: Pixels): boolean {
    const last = this.thumbnail;
    const [right, down] = [Math.ceil(width / 32), Math.ceil(height / 32)];
    const now = new Uint8Array(3 * Math.ceil(width / right) * Math.ceil(height / down));
    let [length, difference] = [0, 0];
    for (let y = 0; y < height; y += down) {
      for (let x = 0; x < width; x += right) {
        for (let colour = 0; colour < 3; colour++) {
          const value = data[4 * (y * width + x) + colour]!;
          difference += Math.abs(value - (last[length] ?? value));
          now[length++] = value;
        }
      }
    }
    this.thumbnail = now;
    return last.length === length && difference > CUT * length;
  }

  /** Whether there is no face, or one that the last detection has not found. */
  private get unsure(): boolean {
    return !this.tracks.length || this.tracks.some((track) => track.confirmed < this.detected);
  }

  /** Search the whole image: confirm known faces, add new ones. */
  private async detect(image: Pixels, seconds: number, cut: boolean): Promise<void> {
    const full = this.detections++ % FULL_EVERY === 0 || this.unsure;
    const found = await this.landmarker.detect(image, full ? "full" : "quick");
    this.detected = seconds;
    const pairs = new Map(match(boxesOf(this.tracks), boxesOf(found)));
    const missing = [...this.tracks.keys()].filter((index) => !pairs.has(index));
    const inPlace = await this.follow(
      image,
      missing.map((index) => this.tracks[index]!),
      seconds,
    );
    if (!cut) {
      // A face that moved far between two frames is still the same face.
      const moved = missing.filter((index) => !inPlace.has(this.tracks[index]!));
      const used = new Set(pairs.values());
      const free = [...found.keys()].filter((index) => !used.has(index));
      const [boxes, others] = [moved.map((i) => this.tracks[i]!.box), free.map((i) => found[i]!.box)];
      for (const [row, column] of nearest(boxes, others)) pairs.set(moved[row]!, free[column]!);
    }
    const unseen = this.tracks.filter((_, index) => !pairs.has(index));
    const seen: Track[] = [];
    this.tracks.forEach((track, index) => {
      const other = pairs.get(index);
      if (other === undefined) return;
      const { points, box, score } = found[other]!;
      seen.push(Object.assign(track, { points, box, score, confirmed: seconds, lost: Infinity }));
    });
    const taken = new Set(pairs.values());
    const fresh = found.filter((_, index) => !taken.has(index)).sort((a, b) => b.score - a.score);
    for (const { points, box, score } of fresh) {
      if (match([box], boxesOf(seen)).length) continue; // found twice
      const smooth = new OneEuro(this.options.cutoff, this.options.beta);
      const own = { id: this.nextId++, smooth, neutral: new Neutral(), memory: new WeakMap() };
      seen.push({ ...own, points, box, score, confirmed: seconds, lost: Infinity, size: 0 });
    }
    // Of two tracks on one face, or one that drifted onto a part of it, the one that the detector found is kept.
    const doubles = new Set(match(boxesOf(unseen), boxesOf(seen)).map(([index]) => index));
    const single = unseen.filter(({ box }, i) => !doubles.has(i) && !seen.some((other) => isPart(box, other.box)));
    this.tracks = [...seen, ...single];
  }

  /**
   * Find the points again around the last ones; a face that jumps or is lost keeps its position.
   *
   * @returns The tracks whose faces are certainly in their places.
   */
  private async follow(image: Pixels, tracks: readonly Track[], seconds: number): Promise<Set<Track>> {
    const inPlace = new Set<Track>();
    const found = await this.landmarker.follow(
      image,
      tracks.map((track) => track.points),
    );
    found.forEach(({ points, box, score }, index) => {
      const track = tracks[index]!;
      if (score < LOST) track.lost = Math.min(track.lost, seconds);
      else if (iou(track.box, box) >= SAME_TRACK) {
        Object.assign(track, { points, box, lost: Infinity });
        if (score >= SURE) inPlace.add(track);
      }
    });
    return inPlace;
  }

  /** Return 1 while a face is held, then a value that falls to 0. */
  private visible(track: Track, seconds: number): number {
    const held = 1 - (seconds - track.confirmed - this.options.hold) / Math.max(this.options.fade, 1e-9);
    return clamp(Math.min(held, 1 - (seconds - track.lost - LOST_HOLD) / LOST_FADE), 0, 1);
  }
}

/** Pair boxes that overlap, best overlap first, each box once; return pairs of indices. */
export function match(boxes: readonly Box[], others: readonly Box[]): [number, number][] {
  return paired(boxes, others, (box, other) => -iou(box, other), -SAME_TRACK);
}

/** Pair boxes by their distances up to `maxDistance`, smallest first, each box once; return pairs of indices. */
function paired(
  boxes: readonly Box[],
  others: readonly Box[],
  distance: (box: Box, other: Box) => number,
  maxDistance: number,
): [number, number][] {
  const all = boxes.flatMap((box, i) => others.map((other, j) => ({ i, j, far: distance(box, other) })));
  const pairs: [number, number][] = [];
  for (const { i, j, far } of all.sort((a, b) => a.far - b.far)) {
    if (far > maxDistance) break;
    if (pairs.every(([row, column]) => row !== i && column !== j)) pairs.push([i, j]);
  }
  return pairs;
}

/** Pair boxes that are close and of similar size, nearest first, each box once; return pairs of indices. */
function nearest(boxes: readonly Box[], others: readonly Box[]): [number, number][] {
  const side = ([x0, y0, x1, y1]: Box) => Math.max(x1 - x0, y1 - y0);
  const distance = (a: Box, b: Box) => {
    const ratio = area(a) / Math.max(area(b), 1e-9);
    if (ratio < ALIKE || ratio > 1 / ALIKE) return Infinity;
    return Math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2 / Math.max(side(a), side(b));
  };
  return paired(boxes, others, distance, NEAR);
}

function boxesOf(items: readonly { readonly box: Box }[]): Box[] {
  return items.map(({ box }) => box);
}

/** Return whether the centre of a box lies in the image. */
function centreInside([x0, y0, x1, y1]: Box, { width, height }: Pixels): boolean {
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return x >= 0 && y >= 0 && x < width && y < height;
}
