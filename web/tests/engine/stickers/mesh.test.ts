import { expect, it } from "vitest";
import { TRIANGLES, meshPoints } from "../../../src/engine/stickers/mesh";
import { expectClose, reference } from "../reference";

it("the mesh of a face is Python's", () => {
  expect([...TRIANGLES]).toEqual(reference.triangles);
  expectClose(meshPoints(Float64Array.from(reference.face)), reference.mesh);
});
