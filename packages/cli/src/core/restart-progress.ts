/** How far a restart is: which of the old instances another one has replaced. Pure. */
import type { JobState } from "@berth/shared/domain/job-state.ts";

interface OldInstance {
  readonly jobId: string;
  readonly process: string;
  readonly slot: number;
}
interface SeenInstance extends OldInstance {
  readonly state: JobState;
  readonly ready: boolean;
  readonly reason: string | null;
}

export interface RestartProgress {
  /** `web.1`: a new one is ready and the old one is out of rotation or gone. */
  readonly replaced: readonly string[];
  readonly waiting: readonly string[];
  readonly troubled: readonly { readonly name: string; readonly reason: string }[];
}

export function restartProgress(
  old: readonly OldInstance[],
  seen: readonly (SeenInstance & { readonly inRotation: boolean })[],
): RestartProgress {
  const before = new Set(old.map((one) => one.jobId));
  const replaced: string[] = [];
  const waiting: string[] = [];
  const troubled: { name: string; reason: string }[] = [];
  for (const { jobId, process, slot } of old) {
    const name = `${process}.${slot}`;
    const own = seen.find((one) => one.jobId === jobId);
    const news = seen.filter((one) => one.process === process && one.slot === slot && !before.has(one.jobId));
    const stands = news.some((one) => one.ready && one.state === "running");
    if (stands && own?.inRotation !== true) replaced.push(name);
    else waiting.push(name);
    for (const one of stands ? [] : news)
      if (one.state === "failed" && one.reason !== null) troubled.push({ name, reason: one.reason });
  }
  return { replaced, waiting, troubled };
}
