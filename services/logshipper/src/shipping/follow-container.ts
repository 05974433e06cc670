/**
 * Follows one container's output until it has ended: keeps every line, tells it live, remembers the place.
 *
 * The engine's stream may end or freeze while the container runs; then it is opened again from the place.
 */
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { type Line, LineAssembler } from "../core/assemble-lines.ts";
import type { KeptLine } from "../core/kept-line.ts";
import { parseFrames, toMs, toSince } from "../core/parse-frames.ts";
import type { JobContainer, LogSource } from "../outbound/docker.ts";
import type { RingStore } from "../outbound/ring-store.ts";
import type { LiveSender } from "./live-sender.ts";

/** A stream that said nothing for this long is opened again: a frozen one looks like a quiet one. */
const STALL_MS = 60_000;
const AGAIN_MS = 300;

export interface FollowGiven {
  readonly source: LogSource;
  readonly rings: RingStore;
  readonly live: LiveSender;
  readonly positions: Map<string, string>;
  readonly log: Log;
}

/** Reads until the engine ends the stream, or `signal` aborts. The caller lists again and decides what is next. */
export async function followContainer(
  given: FollowGiven,
  container: JobContainer,
  signal: AbortSignal,
): Promise<void> {
  const key = container.id.slice(0, 12);
  const stall = new AbortController();
  let timer = setTimeout(() => stall.abort(), STALL_MS);
  const whole = AbortSignal.any([signal, stall.signal]);
  const lines = new LineAssembler();
  let rest: Buffer = Buffer.alloc(0);
  try {
    const from = given.positions.get(key) ?? null;
    for await (const chunk of await given.source.follow(
      container.id,
      from === null ? null : toSince(from),
      whole,
    )) {
      clearTimeout(timer);
      timer = setTimeout(() => stall.abort(), STALL_MS);
      const parsed = parseFrames(rest, chunk);
      rest = Buffer.from(parsed.rest);
      // The engine answers from `since` on, that instant included: what was kept is skipped.
      const fresh = parsed.frames.filter(({ at }) => at > (from ?? ""));
      await keep(
        given,
        container,
        key,
        fresh.flatMap((frame) => lines.add(frame)),
      );
    }
    if (!whole.aborted) await keep(given, container, key, lines.end());
  } catch (error) {
    if (!whole.aborted) given.log.warn("logs.stream-lost", { container: key, error: describeError(error) });
    await sleep(AGAIN_MS, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** On disk first, then live: a reader who asks for the tail after seeing a line finds it. */
async function keep(
  given: FollowGiven,
  container: JobContainer,
  key: string,
  lines: readonly Line[],
): Promise<void> {
  const last = lines.at(-1);
  if (last === undefined) return;
  const { instance, release, serviceId, environmentId } = container;
  const kept = lines.map(
    ({ at, stream, text }): KeptLine => ({
      at,
      atMs: toMs(at),
      container: key,
      instance,
      release,
      stream,
      text,
    }),
  );
  await given.rings.append(serviceId, kept);
  given.positions.set(key, last.endAt);
  for (const line of kept) {
    given.live.add(environmentId, serviceId, {
      atMs: line.atMs,
      instance,
      stream: line.stream,
      text: line.text,
      release,
    });
  }
}
