/**
 * Follows a deploy to its end: the build's output plainly, the platform's steps with an arrow. A lost connection is
 * made again and goes on where it stopped. Ctrl-C ends the watching, not the deploy.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ERRORS, ErrorCode } from "@berth/shared/contracts/errors.ts";
import type { Answer, Client } from "../client.ts";
import { ConnectionError } from "../client.ts";
import { clean } from "../output/clean.ts";
import { colours, print, printJsonLine, say } from "../output/print.ts";
import { CliError } from "../session/cli-error.ts";

type Event = Answer<"watchDeploy">;
type Finished = Extract<Event, { type: "finished" }>;

const RECONNECTS = 20;
const RECONNECT_MS = 1000;

/** @throws CliError when the deploy did not succeed */
export async function watchDeploy(client: Client, deployId: string, json: boolean): Promise<void> {
  const interrupt = new AbortController();
  const onInterrupt = () => interrupt.abort();
  process.once("SIGINT", onInterrupt);
  try {
    const finished = await follow(client, deployId, json, interrupt.signal);
    if (finished === null) {
      say(`the deploy goes on; pick it up with: berth deploys watch ${deployId}`);
      process.exitCode = 130;
    } else {
      conclude(finished, json);
    }
  } finally {
    process.removeListener("SIGINT", onInterrupt);
  }
}

/** @returns null when it was interrupted */
async function follow(
  client: Client,
  deployId: string,
  json: boolean,
  signal: AbortSignal,
): Promise<Finished | null> {
  let shownCount = 0;
  for (let lost = 0; ; lost++) {
    let skip = shownCount;
    try {
      for await (const event of client.stream("watchDeploy", { params: { deployId } }, signal)) {
        if (event.type === "finished") return finish(event, json);
        const lines = event.type === "output" ? event.lines.slice(skip) : event.lines;
        if (event.type === "output") {
          skip = Math.max(0, skip - event.lines.length);
          shownCount += lines.length;
        }
        if (lines.length > 0) show({ ...event, lines }, json);
      }
      if (signal.aborted) return null;
      throw new ConnectionError("the connection ended before the deploy did");
    } catch (error) {
      if (!(error instanceof ConnectionError) || lost >= RECONNECTS) throw error;
      say(`${error.message}; trying again`);
      await delay(RECONNECT_MS);
    }
  }
}

function finish(event: Finished, json: boolean): Finished {
  if (json) printJsonLine(event);
  return event;
}

function show(event: Exclude<Event, Finished>, json: boolean): void {
  if (json) {
    printJsonLine(event);
    return;
  }
  const mark = event.type === "step" ? colours.cyan("----->") : "      ";
  for (const line of event.lines) print(`${mark} ${clean(line)}`);
}

function conclude({ deploy, url, firstResponseStatus }: Finished, json: boolean): void {
  if (deploy.state === "succeeded") {
    if (json) return;
    const answered =
      firstResponseStatus === null || firstResponseStatus === 0
        ? ""
        : `, which answered ${firstResponseStatus}`;
    say(
      `${colours.green("deployed")} ${deploy.service}${deploy.release === null ? "" : ` v${deploy.release}`}${answered}`,
    );
    print(clean(url));
    return;
  }
  const code = ErrorCode.safeParse(deploy.reasonCode);
  const next = code.success ? `${ERRORS[code.data].next} ` : "";
  const why = [deploy.reasonCode, deploy.reason].filter((part) => part !== null).join(": ");
  throw new CliError(`the deploy ${deploy.id} is ${deploy.state}${why === "" ? "" : `, ${why}`}`, {
    next: `${next}Where it stopped: berth deploys show ${deploy.id}`,
  });
}
