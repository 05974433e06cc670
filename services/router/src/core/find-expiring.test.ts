import { expect, test } from "vitest";
import { findExpiring } from "./find-expiring.ts";

test("a certificate is told of from the last quarter of its life on, also when it ended", () => {
  const one = (id: string, notAfterMs: number) => ({
    id,
    hostnames: ["a.example"],
    notBeforeMs: 0,
    notAfterMs,
  });
  const served = [one("fresh", 1000), one("old", 400), one("ended", 200)];
  expect(findExpiring(served, 300).map(({ id }) => id)).toEqual(["old", "ended"]);
  expect(findExpiring(served, 299).map(({ id }) => id)).toEqual(["ended"]);
});
