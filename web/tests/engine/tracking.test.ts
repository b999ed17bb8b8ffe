import { describe, expect, it } from "vitest";
import { faceOf } from "../../src/engine/faces";
import { apply, compose, scaling, translation } from "../../src/engine/geometry";
import { MEAN_FACE } from "../../src/engine/head";
import { blank } from "../../src/engine/network";
import { OneEuro, Tracker, match } from "../../src/engine/tracking";
import { expectClose, reference } from "./reference";

const at = (x: number, y: number) =>
  Float32Array.from(apply(compose(scaling(50), translation(x, y)), Float32Array.from(MEAN_FACE)));

/** A fake landmarker that returns the given faces, wherever it is told to follow them. */
class Scene {
  calls: string[] = [];
  constructor(public faces: Float32Array[]) {}

  detect = (_: unknown, effort = "full") => {
    this.calls.push(effort);
    return Promise.resolve(this.faces.map((points) => faceOf(points, 0.9)));
  };

  follow = (_: unknown, last: readonly Float32Array[]) => {
    this.calls.push("follow");
    return Promise.resolve(last.map((points, i) => faceOf(this.faces[i] ?? points, 1)));
  };
}

it("points are smoothed as in Python", () => {
  const smooth = new OneEuro();
  reference.steps.forEach((points, i) => {
    expectClose(smooth.next(points, 0.1 * (i + 1)), reference.smoothed[i]!);
  });
});

it("boxes are paired by overlap, each once", () => {
  expect(match([[0, 0, 9, 9], [20, 0, 29, 9]], [[21, 0, 30, 9]])).toEqual([[1, 0]]); // prettier-ignore
});

describe("a tracker", () => {
  const image = blank(300, 200);

  it("detects once, then follows, and keeps a face's number", async () => {
    const scene = new Scene([at(20, 20), at(150, 60)]);
    const tracker = new Tracker(scene);
    const ids: number[][] = [];
    for (let i = 0; i < 16; i++) {
      scene.faces = [at(20 + i, 20), at(150 - i, 60)];
      ids.push((await tracker.next(image, i / 30)).map(({ id }) => id).sort());
    }
    expect(ids).toEqual(Array(16).fill([0, 1]));
    expect(scene.calls.filter((each) => each !== "follow")).toEqual(["full", "quick"]);
  });

  it("does not swap the ranks of faces of about one size", async () => {
    const at = (x: number, size: number) =>
      Float32Array.from(apply(compose(scaling(size), translation(x, 60)), Float32Array.from(MEAN_FACE)));
    const scene = new Scene([]);
    const tracker = new Tracker(scene, { cutoff: Infinity });
    const ids = async (frame: number) => (await tracker.next(image, frame / 30)).map(({ id }) => id);
    for (let frame = 0; frame < 20; frame++) {
      // The face that is larger in the first frame is first, and stays first, although it is smaller in every other.
      scene.faces = [at(20, 50 + (frame % 2)), at(150, 51 - (frame % 2))];
      expect(await ids(frame)).toEqual([1, 0]);
    }
    scene.faces[0] = at(20, 58); // its area is a third larger
    expect(await ids(20)).toEqual([0, 1]);
  });

  it("looks closely at every fourth detection, counted from the first, as in Python", async () => {
    const scene = new Scene([at(20, 20)]);
    const tracker = new Tracker(scene, { detectEvery: 1 });
    for (let i = 0; i < 5; i++) await tracker.next(image, i / 30);
    expect(scene.calls.filter((each) => each !== "follow")).toEqual(["full", "quick", "quick", "quick", "full"]);
  });

  it("takes a face that moved by most of its width for the same", async () => {
    const scene = new Scene([]);
    scene.follow = (_, last) => Promise.resolve(last.map((points) => faceOf(points, 0.2))); // no face at the last place
    const tracker = new Tracker(scene, { detectEvery: 1 });
    for (let frame = 0; frame < 6; frame++) {
      scene.faces = [at(100 + 35 * (frame % 2), 60)];
      expect((await tracker.next(image, frame / 3)).map(({ id }) => id)).toEqual([0]);
    }
    scene.faces = [at(220, 60)];
    expect((await tracker.next(image, 2)).map(({ id }) => id)).toContain(1);
  });

  it("drops a track that slid onto a part of a face when that is seen", async () => {
    const at = (x: number, y: number, size: number) =>
      Float32Array.from(apply(compose(scaling(size), translation(x, y)), Float32Array.from(MEAN_FACE)));
    const scene = new Scene([at(140, 80, 15)]);
    const tracker = new Tracker(scene, { detectEvery: 1, retryEvery: 1 });
    await tracker.next(image, 0);
    scene.faces = [at(100, 50, 80)];
    expect((await tracker.next(image, 0.1)).map(({ id }) => id)).toEqual([1]);
  });

  it("fades a face that is gone, and forgets it", async () => {
    const scene = new Scene([at(20, 20)]);
    const tracker = new Tracker(scene, { detectEvery: 1, retryEvery: 1 });
    await tracker.next(image, 0);
    scene.faces = [];
    expect((await tracker.next(image, 0.4))[0]?.score).toBeCloseTo(0.9);
    expect((await tracker.next(image, 0.75))[0]?.score).toBeCloseTo(0.45);
    expect(await tracker.next(image, 1.1)).toEqual([]);
  });

  it("keeps a face where frames come slowly", async () => {
    const tracker = new Tracker(new Scene([at(20, 20)]));
    for (let i = 0; i < 20; i++) expect((await tracker.next(image, i / 4))[0]?.score).toBeCloseTo(0.9);
  });

  /** Return a tracker whose face is replaced by another one, elsewhere, from the next frame on. */
  async function cut(): Promise<Tracker> {
    const scene = new Scene([at(20, 20)]);
    const tracker = new Tracker(scene);
    await tracker.next(image, 0);
    scene.faces = [at(200, 100)];
    scene.follow = (_, last) => Promise.resolve(last.map((points) => faceOf(points, points[0]! > 150 ? 1 : 1e-3)));
    return tracker;
  }

  it("finds a new face at once after a cut, and forgets the old one soon", async () => {
    const tracker = await cut();
    const scores = [];
    for (let i = 1; i < 10; i++) {
      const faces = await tracker.next(image, i / 30);
      scores.push([0, 1].map((id) => faces.find((face) => face.id === id)?.score ?? 0));
    }
    expect(scores.map(([, fresh]) => fresh)).toEqual(Array(9).fill(0.9));
    expect(scores.slice(0, 4).map(([old]) => old)).toEqual(Array(4).fill(0.9));
    expect(scores[8]![0]).toBe(0);
  });

  it("forgets the old face at once if the image changes as well", async () => {
    const tracker = await cut();
    const other = { ...image, data: image.data.map(() => 90) };
    expect((await tracker.next(other, 1 / 30)).map(({ id }) => id)).toEqual([1]);
  });

  it("does not follow a face that jumps", async () => {
    const scene = new Scene([at(20, 20)]);
    const tracker = new Tracker(scene, { cutoff: Infinity });
    await tracker.next(image, 0);
    scene.faces = [at(200, 100)];
    const [face] = await tracker.next(image, 0.03);
    expect(face!.box[0]).toBeCloseTo(20, 3);
  });
});
