import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type GarbageFacts,
  type GarbageLimits,
  type ImageFacts,
  isNeeded,
  noteUses,
  planGarbage,
} from "./plan-garbage.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = 1000 * HOUR_MS;
const REGISTRY = "10.0.0.1:5000";
const LIMITS: GarbageLimits = {
  imageKeptMs: 100 * HOUR_MS,
  volumeKeptMs: 24 * HOUR_MS,
  startPercent: 85,
  endPercent: 75,
};
const digestOf = (letter: string) => `sha256:${letter.repeat(64)}`;
const nameOf = (letter: string) => `${REGISTRY}/org_a/svc_a@${digestOf(letter)}`;
const keptName = (letter: string) => `${REGISTRY}/org_a/svc_a:kept-${letter.repeat(32)}`;

/** 10 bytes that it shares with all images of the stack, 5 of its own. */
function image(letter: string, idleHours: number, patch: Partial<ImageFacts> = {}): ImageFacts {
  return {
    id: letter,
    names: [nameOf(letter)],
    layers: [
      { chain: "stack", bytes: 10 },
      { chain: letter, bytes: 5 },
    ],
    sizeBytes: 15,
    hasContainer: false,
    lastUsedAtMs: NOW_MS - idleHours * HOUR_MS,
    ...patch,
  };
}

function facts(patch: Partial<GarbageFacts>): GarbageFacts {
  return {
    nowMs: NOW_MS,
    registry: REGISTRY,
    diskTotalBytes: 100,
    diskFreeBytes: 50,
    promisedBytes: 5,
    images: [],
    scratchVolumes: [],
    ledgerDigests: new Set(),
    ledgerVolumes: new Set(),
    pullingDigests: new Set(),
    pins: { digests: new Set(), atMs: NOW_MS - 1000 },
    ...patch,
  };
}

function removals(given: GarbageFacts) {
  const { steps } = planGarbage(given, LIMITS);
  return steps.flatMap((step) =>
    step.kind === "remove-image" ? [`${step.id} ${step.bytes} ${step.why}`] : [],
  );
}

describe("images", () => {
  test("what nothing used for long goes, the shared layers with the last one", () => {
    const images = [image("a", 200), image("b", 99), image("c", 300)];
    expect(removals(facts({ images }))).toEqual(["c 5 unused", "a 5 unused"]);
    expect(removals(facts({ images: images.slice(0, 1) }))).toEqual(["a 15 unused"]);
  });

  test("a full disk: least recently used first, and only until the lower mark", () => {
    const images = ["a", "b", "c", "d"].map((letter, at) => image(letter, 40 - at));
    // 12 of 100 free: the goal is 25, and a, b and c bring 15.
    expect(removals(facts({ images, diskFreeBytes: 12 }))).toEqual([
      "a 5 disk-full",
      "b 5 disk-full",
      "c 5 disk-full",
    ]);
    expect(removals(facts({ images, diskFreeBytes: 16 }))).toEqual([]);
  });

  test("what was promised to jobs is made free although the disk is far from full", () => {
    const images = ["a", "b"].map((letter) => image(letter, 3));
    expect(removals(facts({ images, diskFreeBytes: 50, promisedBytes: 53 }))).toEqual(["a 5 disk-full"]);
  });

  test("never one of a container, a job of the ledger, a pull, a pin, or with somebody else's name", () => {
    const [a, b, c, d] = ["a", "b", "c", "d"].map(digestOf) as [string, string, string, string];
    const kept = facts({
      diskFreeBytes: 0,
      images: [
        image("a", 900),
        image("b", 900),
        image("c", 900),
        image("d", 900, { hasContainer: true }),
        image("e", 900, { names: [nameOf("e"), `${REGISTRY}/org_a/svc_a:bld_0123`] }),
        image("f", 900, { names: ["berth/stack:bookworm"] }),
        image("g", 900, { names: [`elsewhere.example/x@${digestOf("g")}`] }),
        image("h", 900, { names: [] }),
        image("i", 900),
      ],
      ledgerDigests: new Set([a]),
      pullingDigests: new Set([b]),
      pins: { digests: new Set([c]), atMs: NOW_MS },
    });
    expect(d).toBe(digestOf("d"));
    expect(removals(kept)).toEqual(["i 5 unused"]);
    expect(planGarbage(kept, LIMITS).reclaimableBytes).toBe(5);
  });

  test("nothing goes while the pins are unknown or old", () => {
    const images = [image("a", 900)];
    for (const [pins, held] of [
      [null, "pins-unknown"],
      [{ digests: new Set<string>(), atMs: NOW_MS - HOUR_MS }, "pins-old"],
    ] as const) {
      const scratchVolumes = [{ name: "v", createdAtMs: 0, hasContainer: false }];
      const plan = planGarbage(facts({ images, pins, diskFreeBytes: 0, scratchVolumes }), LIMITS);
      expect(plan).toEqual({ steps: [], reclaimableBytes: 0, held });
    }
  });

  test("an image that is needed gets a name of this host, once", () => {
    const needed = facts({ images: [image("a", 0)], ledgerDigests: new Set([digestOf("a")]), pins: null });
    const tag = `kept-${"a".repeat(32)}`;
    expect(planGarbage(needed, LIMITS).steps).toEqual([
      { kind: "name-image", reference: nameOf("a"), repository: `${REGISTRY}/org_a/svc_a`, tag },
    ]);
    const named = { ...needed, images: [image("a", 0, { names: [nameOf("a"), keptName("a")] })] };
    expect(planGarbage(named, LIMITS).steps).toEqual([]);
    const unneeded = facts({ images: [image("a", 200, { names: [nameOf("a"), keptName("a")] })] });
    expect(removals(unneeded)).toEqual(["a 15 unused"]);
  });

  test("while some image's layers are not known, nothing is promised", () => {
    const images = [image("a", 900), image("b", 0, { layers: null, hasContainer: true })];
    expect(planGarbage(facts({ images }), LIMITS).reclaimableBytes).toBe(0);
  });

  test("property: nothing needed is ever removed, and no more than the goal asks for", () => {
    const letters = fc.subarray([..."abcdefgh"], { minLength: 1 });
    const some = letters.map((list) => new Set(list.map(digestOf)));
    const world = fc.record({
      letters,
      idleHours: fc.array(fc.nat(200), { minLength: 8, maxLength: 8 }),
      containers: fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
      ledger: some,
      pulling: some,
      pins: fc.option(fc.record({ digests: some, atMs: fc.integer({ min: NOW_MS - HOUR_MS, max: NOW_MS }) })),
      free: fc.nat(100),
      promised: fc.nat(60),
    });
    fc.assert(
      fc.property(world, (given) => {
        const images = given.letters.map((letter, at) =>
          image(letter, given.idleHours[at] ?? 0, { hasContainer: given.containers[at] === true }),
        );
        const all = facts({
          images,
          ledgerDigests: given.ledger,
          pullingDigests: given.pulling,
          pins: given.pins,
          diskFreeBytes: given.free,
          promisedBytes: given.promised,
        });
        const plan = planGarbage(all, LIMITS);
        const gone = plan.steps.filter((step) => step.kind === "remove-image");
        for (const step of gone) {
          const one = images.find(({ id }) => id === step.id) as ImageFacts;
          const digest = digestOf(one.id);
          expect(one.hasContainer || given.ledger.has(digest) || given.pulling.has(digest)).toBe(false);
          expect(given.pins?.digests.has(digest)).toBe(false);
          expect(isNeeded(one, all)).toBe(false);
        }
        const freed = gone.reduce((sum, { bytes }) => sum + bytes, 0);
        expect(freed).toBeLessThanOrEqual(plan.reclaimableBytes);
        const goal = Math.max(given.promised, given.free <= 15 ? 25 : 0);
        const forDisk = gone.filter(({ why }) => why === "disk-full");
        const last = forDisk.at(-1);
        if (last !== undefined) expect(given.free + freed - last.bytes).toBeLessThan(goal);
      }),
    );
  });
});

test("scratch volumes go by age, but never one of a container or of a job", () => {
  const volume = (name: string, patch = {}) => ({ name, createdAtMs: 0, hasContainer: false, ...patch });
  const scratchVolumes = [
    volume("old"),
    volume("new", { createdAtMs: NOW_MS - HOUR_MS }),
    volume("mounted", { hasContainer: true }),
    volume("named"),
  ];
  const { steps } = planGarbage(facts({ scratchVolumes, ledgerVolumes: new Set(["named"]) }), LIMITS);
  expect(steps).toEqual([{ kind: "remove-volume", name: "old" }]);
});

test("uses: now for what is in use or new, remembered for the rest, forgotten when gone", () => {
  const before = new Map([
    ["old", 10],
    ["busy", 20],
    ["gone", 30],
    ["future", 900],
  ]);
  const present = ["old", "busy", "new", "future"].map((digest) => ({ digest, isInUse: digest === "busy" }));
  expect([...noteUses(before, present, 500)]).toEqual([
    ["old", 10],
    ["busy", 500],
    ["new", 500],
    ["future", 500],
  ]);
});
