/**
 * After the refs of a push have changed: stores the deploy, then shows it to the pusher until it is final.
 * The push itself has succeeded by now, so failures are printed, unmistakably.
 */
import { ERRORS } from "@berth/shared/contracts/errors.ts";
import type { DeployId } from "@berth/shared/domain/ids.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { withRemoteParent } from "@berth/shared/kit/telemetry.ts";
import { cleanLines } from "../core/show-text.ts";
import type { DeployOutcome } from "../core/write-messages.ts";
import { detachedLines, otherRefLine, outcomeLines, receivedLines } from "../core/write-messages.ts";
import type { OverviewRow } from "../outbound/deploy-overview.ts";
import type { Followed, FollowGiven } from "./follow-deploy.ts";
import { followDeploy, showProgress } from "./follow-deploy.ts";
import type { HookRequest } from "./hook-request.ts";
import type { PushSession } from "./push-session.ts";
import type { HeadRecorder, Recorded } from "./record-head.ts";

export interface PostReceiveGiven {
  readonly recorder: HeadRecorder;
  readonly follow: FollowGiven;
  readonly serviceUrl: (hostnameLabel: string) => string;
  /** Asks for a repair when a deploy could not be stored. */
  readonly wakeRepair: () => void;
  readonly log: Log;
}

export type Say = (line: string) => void;

export async function finishPush(
  given: PostReceiveGiven,
  session: PushSession,
  request: HookRequest,
  say: Say,
): Promise<void> {
  crashPoint("git.after-ref-update");
  const { service } = session;
  const refs = request.lines.map((line) => line.split(" ").slice(2).join(" "));
  const deployRef = `refs/heads/${service.deployBranch}`;
  for (const ref of refs.filter((name) => name !== deployRef)) say(otherRefLine(ref, service.deployBranch));
  if (!refs.includes(deployRef)) return session.onRecorded();

  // Before the deploy exists, so that none of its lines is missed.
  const lines = showProgress(given.follow.bus, session.deployId, say);
  try {
    const recorded = await withRemoteParent(session.traceparent, () => recordPush(given, session, say));
    session.onRecorded();
    if (recorded !== null && recorded.kind !== "no-head") await showDeploy(given, session, recorded, say);
  } finally {
    await lines.close();
  }
}

async function recordPush(given: PostReceiveGiven, session: PushSession, say: Say): Promise<Recorded | null> {
  const { service, deployId, userId, traceparent, discoveredAtMs, startedAtMs } = session;
  try {
    const about = { service, deployId, userId, traceparent, discoveredAtMs, startedAtMs };
    return await given.recorder.record(about);
  } catch (error) {
    given.log.error("push.record-failed", { serviceId: service.id, deployId, error: describeError(error) });
    given.wakeRepair();
    const refusal = {
      code: "unavailable",
      message: "Your commit is safe, but its deploy could not be stored now.",
      next: "Nothing: Berth starts it by itself as soon as it can. See `berth deploys list`.",
    };
    for (const line of ["", ` !     ${refusal.code}: ${refusal.message}`, ` !     Next: ${refusal.next}`, ""])
      say(line);
    return null;
  }
}

async function showDeploy(
  given: PostReceiveGiven,
  session: PushSession,
  recorded: Exclude<Recorded, { kind: "no-head" }>,
  say: Say,
): Promise<void> {
  const { service } = session;
  const { deployId } = recorded;
  for (const line of receivedLines(
    { ...service, service: service.name },
    service.deployBranch,
    recorded.commit,
    deployId,
  ))
    say(line);
  // Another push or the repair was first with this head: its deploy is the one to watch.
  const lines = deployId === session.deployId ? null : showProgress(given.follow.bus, deployId, say);
  try {
    const followed = await followDeploy(given.follow, deployId, say, session.unheard.signal);
    for (const line of endLines(followed, deployId, given.serviceUrl(service.hostnameLabel))) say(line);
  } finally {
    await lines?.close();
  }
}

function endLines(followed: Followed, deployId: DeployId, url: string): string[] {
  switch (followed.kind) {
    case "final":
      return outcomeLines(toOutcome(followed.overview, deployId, url));
    case "timeout":
      return detachedLines(deployId, "This deploy takes longer than a push waits.");
    case "stopping":
      return detachedLines(deployId, "Berth's git service restarts, so this push ends here.");
    case "unheard":
      return [];
  }
}

function toOutcome(overview: OverviewRow, deployId: DeployId, url: string): DeployOutcome {
  const { state, releaseVersion, reasonCode } = overview;
  const entry =
    reasonCode !== null && Object.hasOwn(ERRORS, reasonCode)
      ? ERRORS[reasonCode as keyof typeof ERRORS]
      : null;
  const reason = overview.reason === null ? (entry?.meaning ?? null) : cleanLines(overview.reason);
  return { deployId, url, state, releaseVersion, reasonCode, reason, next: entry?.next ?? null };
}
