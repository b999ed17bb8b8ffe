import { expect, it } from "vitest";
import { turns } from "../../src/engine/turns";

it("work begins when the last piece has ended, well or not", async () => {
  const inTurn = turns();
  const seen: string[] = [];
  const work = (name: string, error?: Error) => async () => {
    seen.push(`${name} begins`);
    await new Promise((done) => setTimeout(done));
    seen.push(`${name} ends`);
    if (error) throw error;
    return name;
  };
  const all = [inTurn(work("a")), inTurn(work("b", new Error("no"))), inTurn(work("c"))];
  expect((await Promise.allSettled(all)).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(seen).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
});
