/**
 * Shows a deploy to its pusher until it is final.
 *
 * Lines come over the bus and may be lost; the end comes from the stored state, which is read every second and when
 * an event wakes us. Nothing here steers the deploy: it goes on without a reader.
 */
import { DeployProgressed } from "@berth/shared/contracts/deploy.ts";
import type { DeployId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { Closable } from "@berth/shared/kit/service.ts";
import { cleanLine } from "../core/show-text.ts";
import { STEP } from "../core/write-messages.ts";
import type { OverviewRow } from "../outbound/deploy-overview.ts";
import type { Followers } from "./followers.ts";

export interface FollowGiven {
  readonly bus: Pick<Bus, "connected" | "on">;
  readonly followers: Followers;
  readonly readOverview: (deployId: DeployId) => Promise<OverviewRow | null>;
  readonly clock: Clock;
  readonly log: Log;
  readonly followTimeoutMs: number;
}

export type Followed =
  | { readonly kind: "final"; readonly overview: OverviewRow }
  | { readonly kind: "timeout" | "unheard" | "stopping" };

const POLL_MS = 1000;
const QUIET_MS = 20_000;
/** Lines that were sent before the last event may arrive a moment after it. */
const LATE_LINES_MS = 100;

/** Starts to pass on the deploy's lines; call it before the deploy can produce any. */
export function showProgress(
  bus: Pick<Bus, "on">,
  deployId: DeployId,
  say: (line: string) => void,
): Closable {
  return bus.on(DeployProgressed, { deployId }, ({ kind, lines }) => {
    for (const line of lines) say(kind === "step" ? `${STEP}${cleanLine(line)}` : cleanLine(line));
  });
}

/** @param unheard aborts when the reader is gone */
export async function followDeploy(
  given: FollowGiven,
  deployId: DeployId,
  say: (line: string) => void,
  unheard: AbortSignal,
): Promise<Followed> {
  const { clock, followers } = given;
  const endAtMs = clock.monotonicMs() + given.followTimeoutMs;
  const notice = new WaitingNotice(given, say);
  for (;;) {
    if (unheard.aborted) return { kind: "unheard" };
    if (followers.stopping.aborted) return { kind: "stopping" };
    if (clock.monotonicMs() > endAtMs) return { kind: "timeout" };
    const overview = await readQuietly(given, deployId);
    if (overview !== "away" && overview?.final === true) {
      await sleep(LATE_LINES_MS);
      return { kind: "final", overview };
    }
    notice.update(overview);
    await untilWoken(followers, deployId, unheard);
  }
}

async function readQuietly(given: FollowGiven, deployId: DeployId): Promise<OverviewRow | null | "away"> {
  try {
    return await given.readOverview(deployId);
  } catch (error) {
    given.log.debug("deploy.overview-away", { deployId, error: describeError(error) });
    return "away";
  }
}

function untilWoken(followers: Followers, deployId: DeployId, unheard: AbortSignal): Promise<void> {
  const woken = new AbortController();
  const remove = followers.add(deployId, () => woken.abort());
  return sleep(POLL_MS, AbortSignal.any([woken.signal, unheard, followers.stopping])).finally(remove);
}

/** Says what is waited for while no live line says it: when the bus or the records are away, or it takes long. */
class WaitingNotice {
  readonly #given: FollowGiven;
  readonly #say: (line: string) => void;
  #shown = "";
  #atMs: number;

  constructor(given: FollowGiven, say: (line: string) => void) {
    this.#given = given;
    this.#say = say;
    this.#atMs = given.clock.monotonicMs();
  }

  update(overview: OverviewRow | null | "away"): void {
    const { bus, clock } = this.#given;
    const state =
      overview === "away" ? "unknown, Berth's records do not answer" : (overview?.state ?? "queued");
    const text = bus.connected ? state : `${state} (no live output now; the result will be shown)`;
    const isNews = text !== this.#shown && (!bus.connected || overview === "away");
    const isLong = clock.monotonicMs() - this.#atMs > QUIET_MS;
    if (!isNews && !isLong) return;
    this.#say(`       Waiting. The deploy is ${text}.`);
    this.#shown = text;
    this.#atMs = clock.monotonicMs();
  }
}
