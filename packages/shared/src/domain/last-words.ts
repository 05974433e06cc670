/**
 * What each host said last in full in its heartbeats, so that a beat which says that nothing changed is read as the same again, made now.
 *
 * What must stay true: such a beat stands for a full one only of the same run of the agent and the same revision.
 */
import type { HostId } from "./ids.ts";

interface Known {
  readonly hostId: HostId;
  readonly bootId: string;
  readonly agentStartedAtMs: number;
  readonly revision?: number | undefined;
}

interface Repeat extends Known {
  readonly form: "same";
}

export class LastWords<Full extends Known, Same extends Repeat> {
  readonly #known = new Map<HostId, Full>();

  /** @returns the beat in full, or null when what it repeats is not known here */
  complete(beat: Full | Same): Full | null {
    if (!isRepeat(beat)) {
      this.#known.set(beat.hostId, beat);
      return beat;
    }
    const known = this.#known.get(beat.hostId);
    const { form: _form, ...head } = beat;
    return known !== undefined && isOfSameRun(known, beat) && known.revision === beat.revision
      ? { ...known, ...head }
      : null;
  }
}

function isRepeat<Full extends Known, Same extends Repeat>(beat: Full | Same): beat is Same {
  return (beat as { form?: string }).form === "same";
}

function isOfSameRun(known: Known, beat: Repeat): boolean {
  return known.bootId === beat.bootId && known.agentStartedAtMs === beat.agentStartedAtMs;
}
