import { expect, test } from "vitest";
import { overlayFigures, reportOverlay } from "./report-overlay.ts";
import type { Transfer } from "./transfer.ts";

const at = (gigabitsPerSecond: number, cpuSecondsPerGigabyte = 4): Transfer => ({
  ...{ gigabitsPerSecond, cpuSecondsPerGigabyte, gigabitsPerBusyCore: 8 / cpuSecondsPerGigabyte },
  retransmits: 0,
});

test("throughput and CPU are compared within each pair", () => {
  const alone = [
    [at(1, 4.4), at(2, 4)],
    [at(4, 8.8), at(4, 8)],
    [at(3, 2.2), at(4, 2)],
  ] as const;
  const figures = overlayFigures({ alone, crowded: [] });
  expect(figures.map(({ id, estimate }) => [id, estimate.median])).toEqual([
    ["O1", 0.75],
    ["O2", expect.closeTo(1.1)],
    ["O4", expect.closeTo(8 / 4.4)],
  ]);
});

test("idle environments are judged against the floor of their own moment", () => {
  const alone = [[at(2), at(2)]] as const;
  const crowded = [[at(0.9), at(1)]] as const;
  const [figure] = overlayFigures({ alone, crowded }).slice(-1);
  expect(figure).toMatchObject({ id: "O5", estimate: { median: expect.closeTo(0.9) } });
});

test("the last line is the JSON, also of a run that measured only variants", () => {
  const variants = [{ name: "old", transfers: [at(1), at(3), at(2)] }];
  const lines = reportOverlay({ same: [], alone: [], crowded: [], variants, environments: 0 }, {});
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({
    bench: "overlay",
    ratios: {},
    variants: { old: { gigabitsPerSecond: 2 } },
  });
});
