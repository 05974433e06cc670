/** Number and size of a service's processes: what a new release adds, and what a scale request changes. */
import type { ProcessTable } from "@berth/shared/contracts/build.ts";
import type { ProcessWishes } from "@berth/shared/domain/app-config.ts";
import type { Autoscale } from "@berth/shared/domain/autoscale.ts";
import { DEFAULT_RESOURCES } from "@berth/shared/domain/resources.ts";
import { ALL_AT_ONCE, type Rollout } from "@berth/shared/domain/rollout.ts";

export interface ProcessSetting extends Rollout {
  /** Null: only its owner changes the count. */
  readonly autoscale: Autoscale | null;
  readonly process: string;
  readonly scale: number;
  readonly memoryBytes: number;
  readonly cpuMillis: number;
  readonly diskBytes: number;
  readonly healthPath: string | null;
  /** Null: the platform's own. */
  readonly startDeadlineMs: number | null;
  readonly stopGraceMs: number | null;
}

/** What a container is made with: a change makes a new release. */
const SIZES = ["memoryBytes", "cpuMillis", "diskBytes", "healthPath"] as const;

/** A request to change some of a process's settings; what is absent stays. */
export interface ProcessChange {
  readonly process: string;
  readonly scale?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly cpuMillis?: number | undefined;
  readonly diskBytes?: number | undefined;
  readonly healthPath?: string | null | undefined;
}

/** Only `web` starts by itself: a worker that nobody asked for could do harm. */
export function defaultSetting(process: string, healthPath: string | null): ProcessSetting {
  return {
    process,
    scale: process === "web" ? 1 : 0,
    memoryBytes: DEFAULT_RESOURCES.memoryBytes,
    cpuMillis: DEFAULT_RESOURCES.cpuMillis,
    diskBytes: DEFAULT_RESOURCES.diskBytes,
    healthPath: process === "web" ? healthPath : null,
    startDeadlineMs: null,
    stopGraceMs: null,
    ...ALL_AT_ONCE,
    autoscale: null,
  };
}

/**
 * What the repository's configuration makes of the settings: sizes, health and times are the repository's whenever it
 * names them; a count only where the service sees the process for the first time.
 */
export function configure(
  settings: readonly ProcessSetting[],
  first: ReadonlySet<string>,
  wishes: Readonly<Record<string, ProcessWishes>>,
): ProcessSetting[] {
  return settings.map((setting) => {
    const { scale, ...given } = wishes[setting.process] ?? {};
    const named = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    return { ...setting, ...named, ...(scale !== undefined && first.has(setting.process) ? { scale } : {}) };
  });
}

/** Settings for process types that the service sees for the first time. */
export function newSettings(
  table: ProcessTable,
  known: readonly ProcessSetting[],
  healthPath: string | null,
): ProcessSetting[] {
  const names = new Set(known.map((setting) => setting.process));
  return Object.keys(table)
    .filter((process) => !names.has(process))
    .map((process) => defaultSetting(process, healthPath));
}

/** The settings of the processes that a release has: its snapshot, `web` first. */
export function snapshot(table: ProcessTable, settings: readonly ProcessSetting[]): ProcessSetting[] {
  return settings.filter((setting) => setting.process in table).toSorted(byProcess);
}

/** Sizes and health checks as an earlier release had them; counts, and what they follow, stay as they are today. */
export function restoreSizes(
  current: readonly ProcessSetting[],
  earlier: readonly ProcessSetting[],
): ProcessSetting[] {
  const today = new Map(current.map((setting) => [setting.process, setting]));
  return earlier.map((setting) => {
    const { scale, autoscale } = today.get(setting.process) ?? setting;
    return { ...setting, scale, autoscale };
  });
}

export function byProcess(a: { process: string }, b: { process: string }): number {
  const rank = (process: string) => (process === "web" ? 0 : 1);
  return rank(a.process) - rank(b.process) || (a.process < b.process ? -1 : a.process > b.process ? 1 : 0);
}

export type ScalePlan =
  | {
      readonly kind: "change";
      readonly settings: ProcessSetting[];
      /** New sizes mean new containers, so a new release. */
      readonly sizesChanged: boolean;
      readonly countsChanged: boolean;
    }
  | { readonly kind: "unknown-process"; readonly process: string };

/** Applies changes, in order, to the settings that are there. */
export function planScale(current: readonly ProcessSetting[], changes: readonly ProcessChange[]): ScalePlan {
  const next = new Map(current.map((setting) => [setting.process, setting]));
  for (const change of changes) {
    const before = next.get(change.process);
    if (before === undefined) return { kind: "unknown-process", process: change.process };
    next.set(change.process, {
      ...before,
      scale: change.scale ?? before.scale,
      memoryBytes: change.memoryBytes ?? before.memoryBytes,
      cpuMillis: change.cpuMillis ?? before.cpuMillis,
      diskBytes: change.diskBytes ?? before.diskBytes,
      healthPath: change.healthPath === undefined ? before.healthPath : change.healthPath,
    });
  }
  const differs = (of: (setting: ProcessSetting) => unknown) =>
    current.some((before) => of(before) !== of(next.get(before.process) ?? before));
  return {
    kind: "change",
    settings: [...next.values()].toSorted(byProcess),
    sizesChanged: SIZES.some((size) => differs((s) => s[size])),
    countsChanged: differs((s) => s.scale),
  };
}
