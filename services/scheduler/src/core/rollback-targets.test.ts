import type { ServiceId } from "@berth/shared/domain/ids.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type ReleaseImage, ROLLBACK_RELEASES, rollbackTargets } from "./rollback-targets.ts";

const release = (service: string, version: number, isCurrent = false, digest = `${service}${version}`) =>
  ({ serviceId: service as ServiceId, version, digest, isCurrent }) satisfies ReleaseImage;
const services = (...names: string[]) => new Set(names as ServiceId[]);

test("the newest ten of each service that is here, and the current one however old; equal images once", () => {
  const releases = Array.from({ length: 14 }, (_, at) => release("a", at + 1, at === 0));
  const config = release("a", 15, false, "a14");
  const targets = rollbackTargets([...releases, config, release("b", 1)], services("a"), 100);
  const newest = ["a14", "a13", "a12", "a11", "a10", "a9", "a8", "a7", "a6"];
  expect(targets.toSorted()).toEqual(["a1", ...newest].toSorted());
});

test("past the limit every service keeps its newest before any keeps an older one", () => {
  const releases = ["a", "b"].flatMap((name) => [1, 2, 3].map((version) => release(name, version)));
  expect(rollbackTargets(releases, services("a", "b"), 4)).toEqual(["a2", "a3", "b2", "b3"]);
});

test("property: bounded, of services here only, whatever the order", () => {
  const some = fc
    .tuple(fc.constantFrom("a", "b", "c"), fc.nat(30), fc.boolean())
    .map(([service, version, isCurrent]) => release(service, version, isCurrent));
  const many = fc.uniqueArray(some, { selector: ({ digest }) => digest });
  fc.assert(
    fc.property(many, fc.nat(40), (releases, most) => {
      const targets = rollbackTargets(releases, services("a", "b"), most);
      expect(targets.length).toBeLessThanOrEqual(Math.min(most, 2 * (ROLLBACK_RELEASES + 1)));
      expect(targets.every((digest) => !digest.startsWith("c"))).toBe(true);
      expect(rollbackTargets(releases.toReversed(), services("a", "b"), most)).toEqual(targets);
    }),
  );
});
