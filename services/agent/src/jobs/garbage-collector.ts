/**
 * Removes what nobody needs from the host's engine: plan (core/plan-garbage.ts), then step by step, each checked
 * again on fresh facts right before it. A step that fails costs disk, not a job: the next run plans anew.
 */
import type { Clock } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { holdsResources } from "../core/job-record.ts";
import {
  digestsOf,
  type GarbageFacts,
  type GarbageLimits,
  type GarbagePlan,
  type GarbageStep,
  type ImageFacts,
  isNeeded,
  noteUses,
  planGarbage,
} from "../core/plan-garbage.ts";
import type { EngineStore, Layer, StoredImage } from "../outbound/engine-store.ts";
import type { ImageUses } from "../outbound/image-uses.ts";
import type { HostMeter } from "./host-meter.ts";
import type { ImagePuller } from "./image-puller.ts";
import type { JobSet } from "./job-set.ts";

export interface GarbageGiven {
  readonly store: EngineStore;
  readonly uses: ImageUses;
  readonly jobs: JobSet;
  readonly puller: ImagePuller;
  readonly meter: HostMeter;
  readonly registry: string;
  readonly reservedDiskBytes: number;
  readonly limits: GarbageLimits;
  readonly clock: Clock;
  readonly log: Log;
}

/** Layers of an image never change; a host with many images is learnt over a few runs. */
const LAYERS_PER_RUN = 100;
const SAVE_EVERY_MS = 600_000;

export class GarbageCollector {
  readonly #given: GarbageGiven;
  readonly #layers = new Map<string, readonly Layer[] | null>();
  #lastUsed: ReadonlyMap<string, number> | null = null;
  #savedAtMs = Number.NEGATIVE_INFINITY;
  #held: GarbagePlan["held"] = null;

  constructor(given: GarbageGiven) {
    this.#given = given;
  }

  /** One run. */
  readonly collect = async (): Promise<void> => {
    const { meter, limits, log } = this.#given;
    const facts = await this.#read();
    const plan = planGarbage(facts, limits);
    if (plan.held !== this.#held) log.info("garbage.held", { why: plan.held });
    this.#held = plan.held;
    meter.noteReclaimable(plan.reclaimableBytes);
    for (const step of plan.steps) {
      try {
        await this.#execute(step);
      } catch (error) {
        log.warn("garbage.step-failed", { step, error: describeError(error) });
      }
    }
    if (plan.steps.some(({ kind }) => kind === "remove-image")) await meter.measure();
  };

  async #read(): Promise<GarbageFacts> {
    const { store, meter, registry, clock } = this.#given;
    const [stored, used, volumes] = await Promise.all([store.images(), store.used(), store.scratchVolumes()]);
    const nowMs = clock.nowMs();
    const needs = this.#needs();
    const lastUsed = await this.#noteUses(stored, used.images, needs.ledgerDigests, nowMs);
    await this.#learnLayers(stored);
    const { totalBytes, freeBytes } = meter.disk;
    return {
      ...needs,
      nowMs,
      registry,
      diskTotalBytes: totalBytes,
      diskFreeBytes: freeBytes,
      promisedBytes: this.#promisedBytes(),
      images: stored.map((image): ImageFacts => {
        const times = digestsOf(image).map((digest) => lastUsed.get(digest) ?? nowMs);
        return {
          ...image,
          layers: this.#layers.get(image.id) ?? null,
          hasContainer: used.images.has(image.id),
          lastUsedAtMs: Math.max(0, ...times),
        };
      }),
      scratchVolumes: volumes.map((volume) => ({ ...volume, hasContainer: used.volumes.has(volume.name) })),
    };
  }

  /** What keeps an image, from memory: read again before every removal. */
  #needs(): Pick<GarbageFacts, "ledgerDigests" | "ledgerVolumes" | "pullingDigests" | "pins"> {
    const { jobs, puller } = this.#given;
    const specs = jobs.records().map(({ spec }) => spec);
    return {
      ledgerDigests: new Set(specs.map(({ image }) => image.digest)),
      ledgerVolumes: new Set(specs.flatMap(({ constraints }) => constraints.volumeId ?? [])),
      pullingDigests: new Set(puller.pulling()),
      pins: jobs.pins(),
    };
  }

  #promisedBytes(): number {
    const held = this.#given.jobs.records().filter(holdsResources);
    return held.reduce((sum, { spec }) => sum + spec.resources.diskBytes, this.#given.reservedDiskBytes);
  }

  async #noteUses(
    stored: readonly StoredImage[],
    withContainer: ReadonlySet<string>,
    ledgerDigests: ReadonlySet<string>,
    nowMs: number,
  ): Promise<ReadonlyMap<string, number>> {
    const before = this.#lastUsed ?? (await this.#given.uses.load());
    const present = stored.flatMap((image) =>
      digestsOf(image).map((digest) => ({
        digest,
        isInUse: withContainer.has(image.id) || ledgerDigests.has(digest),
      })),
    );
    this.#lastUsed = noteUses(before, present, nowMs);
    const isOtherSet =
      this.#lastUsed.size !== before.size || present.some(({ digest }) => !before.has(digest));
    if (isOtherSet || nowMs - this.#savedAtMs >= SAVE_EVERY_MS) {
      await this.#given.uses.save(this.#lastUsed);
      this.#savedAtMs = nowMs;
    }
    return this.#lastUsed;
  }

  async #learnLayers(stored: readonly StoredImage[]): Promise<void> {
    const present = new Set(stored.map(({ id }) => id));
    for (const id of this.#layers.keys()) if (!present.has(id)) this.#layers.delete(id);
    const unknown = stored.filter(({ id }) => !this.#layers.has(id)).slice(0, LAYERS_PER_RUN);
    for (const { id } of unknown) this.#layers.set(id, await this.#given.store.layers(id));
  }

  async #execute(step: GarbageStep): Promise<void> {
    const { store, registry, log } = this.#given;
    switch (step.kind) {
      case "name-image":
        return store.nameImage(step.reference, step.repository, step.tag);
      case "remove-volume":
        if (!this.#needs().ledgerVolumes.has(step.name) && (await store.removeVolume(step.name)))
          log.info("garbage.volume-removed", { volume: step.name });
        return;
      case "remove-image":
        for (const name of step.names) {
          if (isNeeded({ names: step.names, hasContainer: false }, { ...this.#needs(), registry })) return;
          // A container that came meanwhile has the last word: the engine does not remove its image.
          if (!(await store.removeImageName(name))) return;
        }
        log.info("garbage.image-removed", { digests: step.digests, bytes: step.bytes, why: step.why });
    }
  }
}
