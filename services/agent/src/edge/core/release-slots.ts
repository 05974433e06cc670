/** Slots that a proxy still holds something in: a given-up one is nobody's until the proxy was seen without it. */
import { type EdgeState, passName, slotName } from "./edge-state.ts";
import type { ObservedImage } from "./plan-steps.ts";

function busySlots({ servers, hosts, names }: ObservedImage): Set<string> {
  return new Set([...servers.map(({ slot }) => slot), ...hosts.values(), ...names.values()]);
}

/** @param observed null: nothing was seen */
export function slotsInUse(observed: ObservedImage | null): Pick<EdgeState, "retiring" | "retiringPasses"> {
  const slots = observed === null ? [] : [...busySlots(observed)];
  const numbers = (kind: string) =>
    slots.map((slot) => Number(slot.replace(kind, ""))).filter(Number.isInteger);
  return { retiring: numbers("slot_"), retiringPasses: numbers("pass_") };
}

/** @returns the same state when none was released */
export function withReleasedSlots(state: EdgeState, observed: ObservedImage): EdgeState {
  const busy = busySlots(observed);
  const retiring = state.retiring.filter((slot) => busy.has(slotName(slot)));
  const retiringPasses = state.retiringPasses.filter((slot) => busy.has(passName(slot)));
  const count = state.retiring.length + state.retiringPasses.length;
  return retiring.length + retiringPasses.length === count ? state : { ...state, retiring, retiringPasses };
}
