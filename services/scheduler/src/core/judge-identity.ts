/**
 * Whether one machine speaks as a host, or two: a copied disk brings up a second agent with the same credentials.
 *
 * A restart is one change of instance: the earlier one is never heard again. Two machines take turns. What a
 * connection still had under way when its agent ended is no turn, so it counts only when the earlier one was made
 * again after its last word by its own clock, and that twice.
 *
 * What must stay true: a restart, however often, is never called a clone; and while two speak, the earlier one alone
 * is believed, so that what it runs is not judged by the other's list.
 *
 * Pure.
 */

export interface Beat {
  /** Boot and start of the agent: what differs between two machines. */
  readonly instance: string;
  /** When it was made, by the machine's own clock. */
  readonly madeAtMs: number;
  readonly heardAtMs: number;
}

interface Heard {
  readonly instance: string;
  readonly firstHeardMs: number;
  readonly lastHeardMs: number;
  readonly lastMadeMs: number;
}

export interface Speakers {
  /** Oldest first. The last one that is believed is the host. */
  readonly heard: readonly Heard[];
  readonly current: string | null;
  /** When an instance came back after another one had spoken. */
  readonly returnsAtMs: readonly number[];
}

export const NOBODY: Speakers = { heard: [], current: null, returnsAtMs: [] };

/** An instance that was silent for this long is over; the two turns of a clone must lie in it too. */
export const TURN_WINDOW_MS = 30_000;
/** The believed one of two may be silent for this long until the other one is believed. */
export const BELIEVED_SILENT_MS = 10_000;
/** So long after another instance's last word, what a list does not name says nothing: a copy's list is empty. */
export const SETTLED_AFTER_MS = 5000;
const TURNS = 2;

export interface IdentityVerdict {
  readonly speakers: Speakers;
  /** True when this beat is the host's word. */
  readonly believed: boolean;
  /** True when no other instance spoke just now, so that what this one does not hold is not there. */
  readonly settled: boolean;
  readonly cloned: boolean;
}

export function judgeIdentity(before: Speakers, beat: Beat): IdentityVerdict {
  const nowMs = beat.heardAtMs;
  const known = before.heard.filter(({ lastHeardMs }) => nowMs - lastHeardMs < TURN_WINDOW_MS);
  const own = known.find(({ instance }) => instance === beat.instance);
  const later = own === undefined || beat.madeAtMs > own.lastMadeMs;
  const isReturn = own !== undefined && later && before.current !== null && before.current !== beat.instance;
  const returnsAtMs = [...before.returnsAtMs, ...(isReturn ? [nowMs] : [])].filter(
    (atMs) => nowMs - atMs < TURN_WINDOW_MS,
  );
  const heard =
    own === undefined
      ? [...known, started(beat)]
      : known.map((one) => (one === own ? again(one, beat) : one));
  const speakers: Speakers = { heard, current: later ? beat.instance : before.current, returnsAtMs };
  const cloned = returnsAtMs.length >= TURNS;
  const settled = heard.every(
    ({ instance, lastHeardMs }) => instance === beat.instance || nowMs - lastHeardMs >= SETTLED_AFTER_MS,
  );
  return { speakers, cloned, settled, believed: !cloned || believedOf(heard, nowMs) === beat.instance };
}

/** The one that was there first, unless it has fallen silent. */
function believedOf(heard: readonly Heard[], nowMs: number): string | undefined {
  return heard
    .filter(({ lastHeardMs }) => nowMs - lastHeardMs < BELIEVED_SILENT_MS)
    .toSorted((a, b) => a.firstHeardMs - b.firstHeardMs)[0]?.instance;
}

function started({ instance, madeAtMs, heardAtMs }: Beat): Heard {
  return { instance, firstHeardMs: heardAtMs, lastHeardMs: heardAtMs, lastMadeMs: madeAtMs };
}

function again(one: Heard, { madeAtMs, heardAtMs }: Beat): Heard {
  return { ...one, lastHeardMs: heardAtMs, lastMadeMs: Math.max(one.lastMadeMs, madeAtMs) };
}
