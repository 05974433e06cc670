/**
 * How much of a build engine's caches stays: by age as a rule, and little of it while the disk is too full.
 *
 * All of it can be made again; a build that finds no cache is slower, never wrong.
 */

export interface Disk {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

export interface BuildGarbageLimits {
  /** Layers of Dockerfile builds that no build used for this long go. */
  readonly layersKeptMs: number;
  /** Most disk of those layers; the least recently used go first. */
  readonly layersBytes: number;
  /** From this share of used disk on, caches are cut down. */
  readonly pressurePercent: number;
}

export interface BuildGarbagePlan {
  readonly isFull: boolean;
  readonly layersKeptMs: number;
  readonly layersBytes: number;
  /** A service's cache volume goes when it was not built for this long. */
  readonly servicesKeptMs: number;
  /** Containers and images of builds that this builder left behind, older than this. */
  readonly leftoversKeptMs: number;
}

const HOUR_MS = 3_600_000;
const SERVICES_KEPT_MS = 30 * 24 * HOUR_MS;
const SERVICES_KEPT_WHEN_FULL_MS = 24 * HOUR_MS;
const LAYERS_WHEN_FULL_SHARE = 0.1;

/**
 * @param disk of the engine's folder; null when this process cannot see it, which counts as not full
 * @param buildTimeoutMs no build is older than this
 */
export function planBuildGarbage(
  disk: Disk | null,
  limits: BuildGarbageLimits,
  buildTimeoutMs: number,
): BuildGarbagePlan {
  const isFull = disk !== null && usedPercent(disk) >= limits.pressurePercent;
  return {
    isFull,
    layersKeptMs: isFull ? Math.min(limits.layersKeptMs, HOUR_MS) : limits.layersKeptMs,
    layersBytes: Math.floor(limits.layersBytes * (isFull ? LAYERS_WHEN_FULL_SHARE : 1)),
    servicesKeptMs: isFull ? SERVICES_KEPT_WHEN_FULL_MS : SERVICES_KEPT_MS,
    leftoversKeptMs: buildTimeoutMs + HOUR_MS,
  };
}

/** 0 for a disk without a size. What the file system keeps for root counts as used. */
export function usedPercent({ totalBytes, freeBytes }: Disk): number {
  return totalBytes <= 0 ? 0 : 100 * (1 - Math.min(freeBytes, totalBytes) / totalBytes);
}
