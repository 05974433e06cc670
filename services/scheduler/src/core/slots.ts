/** Slots: which instances of which processes a release should have. */
import { RELEASE_PROCESS } from "@berth/shared/domain/tasks.ts";
import type { ProcessWish, ReleaseView } from "./views.ts";

export interface Slot {
  readonly process: string;
  readonly slot: number;
}

export function slotKey(process: string, slot: number): string {
  return `${process}.${slot}`;
}

/** The slots that the wishes ask of a release, by key; what the release does not have, and its phase, are left out. */
export function wantedSlots(wishes: readonly ProcessWish[], release: ReleaseView): Map<string, Slot> {
  const wanted = new Map<string, Slot>();
  for (const wish of wishes) {
    if (!release.processes.has(wish.process) || wish.process === RELEASE_PROCESS) continue;
    for (let slot = 1; slot <= wish.scale; slot++) {
      wanted.set(slotKey(wish.process, slot), { process: wish.process, slot });
    }
  }
  return wanted;
}

/** Wait before a slot's next job after `failures` failed ones: 0, 1, 2, 4 … 60 s. */
export function restartDelayMs(failures: number): number {
  return failures === 0 ? 0 : Math.min(60_000, 1000 * 2 ** (failures - 1));
}
