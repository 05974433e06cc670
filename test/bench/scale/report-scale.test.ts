import { expect, test } from "vitest";
import { reportScale } from "./report-scale.ts";

const sample = (wallMs: number) => ({ wallMs, settledMs: wallMs, cpu: {}, explained: null });

/** Walls of Berth, Swarm, `docker run` and the API in two rounds. */
function report(rounds: readonly (readonly number[])[]): { lines: string[]; ratios: Record<string, object> } {
  const lines = reportScale(
    {
      arms: ["Berth", "Swarm", "docker run, 4 at once", "API, 4 at once"],
      rounds: rounds.map((walls) => walls.map(sample)),
      same: [sample(100), sample(101)],
      tries: [],
      replicas: 90,
    },
    {},
  );
  return { lines, ratios: JSON.parse(lines.at(-1) ?? "").ratios };
}

test("the floor is docker run; what the API alone takes is told without a goal", () => {
  const { lines, ratios } = report([
    [240, 200, 200, 120],
    [240, 200, 200, 120],
  ]);
  expect(ratios).toMatchObject({
    P4: { value: 1.2, goal: 1, kind: "peer" },
    P4b: { value: 1.2, goal: 1.1, kind: "floor" },
    P4c: { value: 2, goal: null, kind: "floor" },
  });
  expect(lines.find((line) => line.includes("P4b"))).toMatch(/≤ 1\.10 +not met$/);
  expect(lines.find((line) => line.includes("P4c"))).toMatch(/none$/);
});

test("Swarm is to be beaten by more where docker run leaves room for it", () => {
  expect(report([[100, 200, 145, 120]]).ratios).toMatchObject({ P4: { goal: 0.8 } });
  expect(report([[100, 200, 146, 120]]).ratios).toMatchObject({ P4: { goal: 1 } });
});
