/** Thin-plate spline (Bookstein, 1989): exact at every node, with minimum bending energy between them. */
import { type Point, type Points, boundingBox, mean } from "../geometry";
import { solve } from "../linear";

/** Maps a point (x, y). */
export type Spline = (x: number, y: number) => Point;

/** Fit a spline to pairs of points; null if two of the source points coincide. */
export function createSpline(source: Points, target: Points): Spline | null {
  const [cx, cy] = mean(source);
  const [x0, y0, x1, y1] = boundingBox(source);
  const unit = Math.max(x1 - x0, y1 - y0, 1e-9);
  const count = source.length / 2;
  const nodes = Array.from({ length: count }, (_, i): Point => {
    return [(source[2 * i]! - cx) / unit, (source[2 * i + 1]! - cy) / unit];
  });
  const kernels = (x: number, y: number) => nodes.map(([u, v]) => kernel((x - u) ** 2 + (y - v) ** 2));
  const system = [
    ...nodes.map(([x, y]) => [...kernels(x, y), 1, x, y]),
    ...[nodes.map(() => 1), nodes.map(([x]) => x), nodes.map(([, y]) => y)].map((row) => [...row, 0, 0, 0]),
  ];
  const right = [...nodes.map((_, i) => [target[2 * i]!, target[2 * i + 1]!]), [0, 0], [0, 0], [0, 0]];
  const weights = solve(system, right);
  if (!weights) return null;
  const [constant, alongX, alongY] = weights.slice(count) as [number[], number[], number[]];
  return (px, py) => {
    const [x, y] = [(px - cx) / unit, (py - cy) / unit];
    let u = constant[0]! + alongX[0]! * x + alongY[0]! * y;
    let v = constant[1]! + alongX[1]! * x + alongY[1]! * y;
    for (let i = 0; i < count; i++) {
      const [nx, ny] = nodes[i]!;
      const value = kernel((x - nx) ** 2 + (y - ny) ** 2);
      u += weights[i]![0]! * value;
      v += weights[i]![1]! * value;
    }
    return [u, v];
  };
}

function kernel(square: number): number {
  return square * Math.log(Math.max(square, 1e-12));
}
