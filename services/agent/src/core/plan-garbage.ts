/**
 * Which images and volumes of this host go, and which get the host's own name so that nobody else removes them.
 *
 * What must stay true: never an image of a job in the ledger, of any container, of a pull under way, or one that the
 * control plane pinned; nothing while the pins are not known or not fresh; nothing that has a name which is not ours.
 * Images go when nothing used them for long, and before that, least recently used first, while the disk is too full.
 */

export interface ImageFacts {
  readonly id: string;
  /** `registry/repository@sha256:…` and `registry/repository:tag`, as the engine tells them. */
  readonly names: readonly string[];
  /** What the engine stores for it, by chain, so that shared layers are known; null when not known. */
  readonly layers: readonly { readonly chain: string; readonly bytes: number }[] | null;
  readonly sizeBytes: number;
  /** True when a container has it, in any state. */
  readonly hasContainer: boolean;
  readonly lastUsedAtMs: number;
}

export interface VolumeFacts {
  readonly name: string;
  readonly createdAtMs: number;
  readonly hasContainer: boolean;
}

export interface Pins {
  readonly digests: ReadonlySet<string>;
  readonly atMs: number;
}

export interface GarbageFacts {
  readonly nowMs: number;
  /** host:port of the registry: only images from there are ours. */
  readonly registry: string;
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
  /** Disk that must be free now: the reserve and what was promised to jobs. */
  readonly promisedBytes: number;
  readonly images: readonly ImageFacts[];
  /** Scratch volumes of this pod: the only kind that is ever removed. */
  readonly scratchVolumes: readonly VolumeFacts[];
  /** Digests and volumes of every job in the ledger, whatever its state. */
  readonly ledgerDigests: ReadonlySet<string>;
  readonly ledgerVolumes: ReadonlySet<string>;
  readonly pullingDigests: ReadonlySet<string>;
  /** Null until a whole desired set told them. */
  readonly pins: Pins | null;
}

export interface GarbageLimits {
  /** An image that nothing used for this long goes. */
  readonly imageKeptMs: number;
  readonly volumeKeptMs: number;
  /** Of used disk: from `start` on images go until `end` is reached. */
  readonly startPercent: number;
  readonly endPercent: number;
}

export type GarbageStep =
  | {
      readonly kind: "name-image";
      readonly reference: string;
      readonly repository: string;
      readonly tag: string;
    }
  | {
      readonly kind: "remove-image";
      readonly id: string;
      readonly digests: readonly string[];
      readonly names: readonly string[];
      readonly bytes: number;
      readonly why: "unused" | "disk-full";
    }
  | { readonly kind: "remove-volume"; readonly name: string };

export interface GarbagePlan {
  readonly steps: readonly GarbageStep[];
  /** What would be free at once if every image went that nobody needs. */
  readonly reclaimableBytes: number;
  /** Why nothing is removed; null when it may be. */
  readonly held: "pins-unknown" | "pins-old" | null;
}

/** New releases come through the control plane: pins older than this may miss one. */
const PINS_FRESH_MS = 600_000;

export function planGarbage(facts: GarbageFacts, limits: GarbageLimits): GarbagePlan {
  const names = facts.images.flatMap((image) => nameStep(image, facts));
  const held = whyHeld(facts);
  if (held !== null) return { steps: names, reclaimableBytes: 0, held };
  const unneeded = facts.images
    .filter((image) => !isNeeded(image, facts))
    .sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs || (a.id < b.id ? -1 : 1));
  const freed = countFreed(unneeded, facts.images);
  const reclaimableBytes = facts.images.every(({ layers }) => layers !== null)
    ? freed.reduce((sum, bytes) => sum + bytes, 0)
    : 0;
  const goalBytes = goalFreeBytes(facts, limits);
  let freeBytes = facts.diskFreeBytes;
  const removals = unneeded.flatMap((image, at): GarbageStep[] => {
    const isOld = facts.nowMs - image.lastUsedAtMs >= limits.imageKeptMs;
    if (!isOld && freeBytes >= goalBytes) return [];
    const bytes = freed[at] ?? 0;
    freeBytes += bytes;
    const why = isOld ? "unused" : "disk-full";
    return [
      { kind: "remove-image", id: image.id, digests: digestsOf(image), names: image.names, bytes, why },
    ];
  });
  return { steps: [...names, ...removals, ...volumeSteps(facts, limits)], reclaimableBytes, held };
}

/** Also asked again right before a removal, on fresh facts. */
export function isNeeded(
  image: Pick<ImageFacts, "names" | "hasContainer">,
  facts: Pick<GarbageFacts, "registry" | "ledgerDigests" | "pullingDigests" | "pins">,
): boolean {
  if (image.hasContainer || !image.names.every((name) => isOurs(name, facts.registry))) return true;
  const digests = digestsOf(image);
  return (
    digests.length === 0 ||
    digests.some(
      (digest) =>
        facts.ledgerDigests.has(digest) ||
        facts.pullingDigests.has(digest) ||
        facts.pins === null ||
        facts.pins.digests.has(digest),
    )
  );
}

function whyHeld({ pins, nowMs }: GarbageFacts): GarbagePlan["held"] {
  if (pins === null) return "pins-unknown";
  return nowMs - pins.atMs > PINS_FRESH_MS ? "pins-old" : null;
}

/** A builder on the same engine gives a name to what it pushes and takes it back; what has one is still its own. */
function isOurs(name: string, registry: string): boolean {
  if (!name.startsWith(`${registry}/`)) return false;
  return name.includes("@") || /:kept-[0-9a-f]{32}$/.test(name);
}

/**
 * An image that is needed here gets a name of this host. Without it, a builder on the same engine that takes its own
 * name back would remove the image from under a job that is between two attempts.
 */
function nameStep(image: ImageFacts, facts: GarbageFacts): GarbageStep[] {
  return image.names.flatMap((reference): GarbageStep[] => {
    const [repository = "", digest] = reference.split("@");
    if (digest === undefined || !repository.startsWith(`${facts.registry}/`)) return [];
    if (!facts.ledgerDigests.has(digest) && facts.pins?.digests.has(digest) !== true) return [];
    const tag = `kept-${digest.replace("sha256:", "").slice(0, 32)}`;
    if (image.names.includes(`${repository}:${tag}`)) return [];
    return [{ kind: "name-image", reference, repository, tag }];
  });
}

function goalFreeBytes(facts: GarbageFacts, limits: GarbageLimits): number {
  const free = (usedPercent: number) => facts.diskTotalBytes * (1 - usedPercent / 100);
  const isFull = facts.diskFreeBytes <= free(limits.startPercent);
  return Math.max(facts.promisedBytes, isFull ? free(limits.endPercent) : 0);
}

/** What each removal frees, in the given order: a layer goes with the last image that has it. */
function countFreed(removed: readonly ImageFacts[], all: readonly ImageFacts[]): number[] {
  const uses = new Map<string, number>();
  for (const { layers } of all)
    for (const { chain } of layers ?? []) uses.set(chain, (uses.get(chain) ?? 0) + 1);
  return removed.map(({ layers }) => {
    let bytes = 0;
    for (const layer of layers ?? []) {
      const left = (uses.get(layer.chain) ?? 1) - 1;
      uses.set(layer.chain, left);
      if (left === 0) bytes += layer.bytes;
    }
    return bytes;
  });
}

function volumeSteps(facts: GarbageFacts, limits: GarbageLimits): GarbageStep[] {
  return facts.scratchVolumes
    .filter(({ name, createdAtMs, hasContainer }) => {
      const isOld = facts.nowMs - createdAtMs >= limits.volumeKeptMs;
      return isOld && !hasContainer && !facts.ledgerVolumes.has(name);
    })
    .map(({ name }) => ({ kind: "remove-volume", name }));
}

export function digestsOf({ names }: Pick<ImageFacts, "names">): string[] {
  return [...new Set(names.flatMap((name) => name.split("@")[1] ?? []))];
}

/**
 * When each image was last needed here, by digest. One that is seen for the first time counts as used now, so that a
 * lost memory removes nothing early; one that is gone is forgotten.
 */
export function noteUses(
  before: ReadonlyMap<string, number>,
  present: readonly { readonly digest: string; readonly isInUse: boolean }[],
  nowMs: number,
): Map<string, number> {
  return new Map(
    present.map(({ digest, isInUse }) => [
      digest,
      isInUse ? nowMs : Math.min(nowMs, before.get(digest) ?? nowMs),
    ]),
  );
}
