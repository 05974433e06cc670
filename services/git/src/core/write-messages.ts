/** What a pusher reads, line by line. git puts `remote: ` in front of every line. */
import { showName } from "./show-text.ts";

export const STEP = "-----> ";
const BLOCK = "       ";
const ALARM = " !     ";

export interface ServiceNames {
  readonly org: string;
  readonly environment: string;
  readonly service: string;
}

export interface Explained {
  readonly code: string;
  readonly message: string;
  readonly next: string;
}

export function refusedLines(refusal: Explained): string[] {
  return [
    "",
    `${ALARM}Push refused: ${refusal.code}`,
    `${ALARM}${refusal.message}`,
    `${ALARM}Next: ${refusal.next}`,
    "",
  ];
}

export function receivedLines(
  names: ServiceNames,
  branch: string,
  commit: string,
  deployId: string,
): string[] {
  return [
    `${STEP}Received ${commit.slice(0, 12)} on ${branch} for ${names.org}/${names.environment}/${names.service}`,
    `${BLOCK}Deploy ${deployId}. It goes on if you stop this push; then see: berth deploys watch ${deployId}`,
  ];
}

export function otherRefLine(ref: string, deployBranch: string): string {
  const name = showName(ref.replace(/^refs\/(heads|tags)\//, ""));
  return `${BLOCK}Pushed to ${name}; only pushes to the deploy branch ${deployBranch} are deployed.`;
}

export function outcomeLines(outcome: DeployOutcome): string[] {
  if (outcome.state === "succeeded") {
    const version = outcome.releaseVersion === null ? "" : ` v${outcome.releaseVersion}`;
    return [
      "",
      `${STEP}Released${version}`,
      `${BLOCK}${outcome.url}`,
      `${BLOCK}berth deploys show ${outcome.deployId}`,
      "",
    ];
  }
  const reason = outcome.reason === null ? [] : outcome.reason.split("\n").map((line) => `${ALARM}${line}`);
  return [
    "",
    `${ALARM}deploy ${outcome.state === "failed" ? "failed" : outcome.state}${outcome.reasonCode === null || outcome.reasonCode === outcome.state ? "" : `: ${outcome.reasonCode}`}`,
    ...reason,
    ...(outcome.next === null ? [] : [`${ALARM}Next: ${outcome.next}`]),
    `${ALARM}Details: berth deploys show ${outcome.deployId}`,
    "",
  ];
}

export interface DeployOutcome {
  readonly deployId: string;
  /** `succeeded`, or how it ended. */
  readonly state: string;
  readonly releaseVersion: number | null;
  readonly url: string;
  readonly reasonCode: string | null;
  readonly reason: string | null;
  readonly next: string | null;
}

export function detachedLines(deployId: string, why: string): string[] {
  return ["", `${BLOCK}${why}`, `${BLOCK}The deploy goes on: berth deploys watch ${deployId}`, ""];
}
