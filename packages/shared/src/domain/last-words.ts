/**
 * What each host said last in its heartbeats, so that a beat which says only what changed, or that nothing did, is read as a
 * full one, made now.
 *
 * What must stay true: such a beat stands for a full one only of the same run of the agent, and of the revision that it names.
 */
import type { HostId } from "./ids.ts";

interface Head {
  readonly hostId: HostId;
  readonly bootId: string;
  readonly agentStartedAtMs: number;
}

interface Known extends Head {
  readonly revision?: number | undefined;
  readonly jobs: readonly { readonly jobId: string }[];
}

interface Change<Full extends Known> extends Head {
  readonly form: "changed";
  readonly since: number;
  readonly jobs: Full["jobs"];
  readonly gone: readonly string[];
}

interface Repeat extends Head {
  readonly form: "same";
  readonly revision: number;
}

export class LastWords<Full extends Known, Changed extends Change<Full>, Same extends Repeat> {
  readonly #known = new Map<HostId, Full>();

  /** @returns the beat in full, or null when what it builds on is not known here */
  complete(beat: Full | Changed | Same): Full | null {
    if (isRepeat<Full, Changed, Same>(beat)) {
      const { form: _form, ...head } = beat;
      const known = this.#knownAt(beat, beat.revision);
      return known === null ? null : { ...known, ...head };
    }
    const full = isChange<Full, Changed>(beat) ? this.#withChange(beat) : beat;
    if (full !== null) this.#known.set(beat.hostId, full);
    return full;
  }

  #knownAt(beat: Head, revision: number): Full | null {
    const known = this.#known.get(beat.hostId);
    if (known === undefined || known.revision !== revision) return null;
    return known.bootId === beat.bootId && known.agentStartedAtMs === beat.agentStartedAtMs ? known : null;
  }

  #withChange(beat: Changed): Full | null {
    const known = this.#knownAt(beat, beat.since);
    if (known === null) return null;
    const { form: _form, since: _since, gone, ...said } = beat;
    const others = new Set([...gone, ...beat.jobs.map(({ jobId }) => jobId)]);
    const jobs = [...beat.jobs, ...known.jobs.filter(({ jobId }) => !others.has(jobId))];
    return { ...known, ...said, jobs };
  }
}

function isRepeat<Full extends Known, Changed extends Change<Full>, Same extends Repeat>(
  beat: Full | Changed | Same,
): beat is Same {
  return (beat as { form?: string }).form === "same";
}

function isChange<Full extends Known, Changed extends Change<Full>>(beat: Full | Changed): beat is Changed {
  return (beat as { form?: string }).form === "changed";
}
