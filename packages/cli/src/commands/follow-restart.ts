/**
 * Follows a restart: every old instance is gone, and another one is ready in its slot. Until then the old one serves,
 * so what goes wrong with the new ones is told and nothing is lost.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Answer, Client } from "../client.ts";
import type { ServiceAddress } from "../core/parse-remote.ts";
import { restartProgress } from "../core/restart-progress.ts";
import { clean } from "../output/clean.ts";
import { say } from "../output/print.ts";
import { CliError } from "../session/cli-error.ts";

const POLL_MS = 1000;
const TIMEOUT_MS = 15 * 60_000;

/** @throws CliError when the instances were not replaced in time */
export async function followRestart(
  client: Client,
  params: ServiceAddress,
  old: Answer<"restartService">["instances"],
  quiet: boolean,
): Promise<void> {
  const told = new Set<string>();
  const tell = (line: string) => {
    if (!quiet && !told.has(line)) say(line);
    told.add(line);
  };
  const endsAtMs = Date.now() + TIMEOUT_MS;
  for (;;) {
    const { instances } = await client.call("serviceStatus", { params });
    const progress = restartProgress(old, instances);
    for (const name of progress.replaced) tell(`${name} was replaced`);
    for (const { name, reason } of progress.troubled) tell(`${name}: the new one failed: ${clean(reason)}`);
    if (progress.waiting.length === 0) return;
    if (Date.now() > endsAtMs)
      throw new CliError(
        `not replaced after ${TIMEOUT_MS / 60_000} minutes: ${progress.waiting.join(", ")}; the old ones run on`,
        { next: `See why: berth status ${params.service}, berth logs ${params.service}` },
      );
    await delay(POLL_MS);
  }
}
