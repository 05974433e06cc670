/**
 * `berth hosts drain`: orders it, and on a terminal or with `--wait` follows it to its end. It ends as soon as nothing
 * is left. What cannot move is named with the reason that all hosts share. Ctrl-C ends the watching, not the drain.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import type { Answer, Client } from "../client.ts";
import { ConnectionError } from "../client.ts";
import { drainNews } from "../core/drain-news.ts";
import { parseDuration } from "../core/parse-duration.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, printJsonLine, say } from "../output/print.ts";
import { CliError } from "../session/cli-error.ts";
import { connect } from "../session/context.ts";
import type { CommonFlags } from "./common.ts";
import { examples, withJson } from "./common.ts";

type Details = Answer<"showHost">;

interface DrainFlags extends CommonFlags {
  readonly wait?: boolean;
  readonly timeout: number;
}

const LOOK_MS = 1000;
const INTERRUPTED = 130;

export function registerDrainCommand(hosts: Command): void {
  examples(
    withJson(hosts.command("drain <host>"))
      .description("move a host's work elsewhere, start-first, and give it no new work")
      .option("--wait", "follow it until nothing is left (on a terminal it is)")
      .option("--no-wait", "only order it")
      .option("--timeout <duration>", "how long to wait, such as 10m", duration, 1_800_000)
      .action(drain),
    "berth hosts drain h2",
    "berth hosts drain h2 --wait --timeout 10m && ssh h2 reboot",
  );
}

function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === null || ms === undefined) throw new InvalidArgumentError("write it like 90s, 10m or 1h.");
  return ms;
}

async function drain(host: string, flags: DrainFlags): Promise<void> {
  const client = await connect();
  const ordered = await client.call("changeHost", { params: { host }, body: { draining: true } });
  const wait = flags.wait ?? (process.stdout.isTTY === true && flags.json !== true);
  if (!wait) {
    if (flags.json === true) return printJson(ordered);
    say(
      `${clean(host)} is being drained: ${ordered.jobsCount} to move; watch with: berth hosts drain ${host} --wait`,
    );
    return;
  }
  await follow(client, host, flags);
}

async function follow(client: Client, host: string, flags: DrainFlags): Promise<void> {
  const interrupt = new AbortController();
  const stop = () => interrupt.abort();
  process.once("SIGINT", stop);
  const deadlineMs = Date.now() + flags.timeout;
  let before: Details["jobs"] | null = null;
  try {
    for (;;) {
      const details = await look(client, host);
      if (details !== null) {
        const news = drainNews(before, details.jobs, clean);
        if (flags.json === true && news.length > 0) printJsonLine({ left: details.jobs.length, news });
        else for (const line of news) print(line);
        before = details.jobs;
        if (!details.host.draining) throw new CliError(`somebody ended the drain of ${host}`);
        if (details.jobs.length === 0) return finish(host, flags.json === true);
      }
      if (interrupt.signal.aborted) return leave(host);
      if (Date.now() > deadlineMs) throw late(host, before ?? []);
      await delay(LOOK_MS, undefined, { signal: interrupt.signal }).catch(() => undefined);
    }
  } finally {
    process.removeListener("SIGINT", stop);
  }
}

/** @returns null while the api does not answer: the drain goes on without it */
async function look(client: Client, host: string): Promise<Details | null> {
  try {
    return await client.call("showHost", { params: { host } });
  } catch (error) {
    if (!(error instanceof ConnectionError)) throw error;
    say(`${error.message}; trying again`);
    return null;
  }
}

function finish(host: string, json: boolean): void {
  if (json) printJsonLine({ left: 0, news: ["drained"] });
  else
    say(`${clean(host)} is drained: nothing is left on it. Give it work again: berth hosts uncordon ${host}`);
}

function leave(host: string): void {
  say(
    `the drain goes on; pick it up with: berth hosts drain ${host} --wait, end it with: berth hosts uncordon ${host}`,
  );
  process.exitCode = INTERRUPTED;
}

function late(host: string, left: Details["jobs"]): CliError {
  const [stuck] = left.filter(({ successor }) => successor?.waitsFor != null);
  const reason = stuck?.successor?.waitsFor ?? "the successors are not ready yet";
  return new CliError(`${left.length} of ${host}'s jobs are left: ${reason}`, {
    next: `The drain goes on. See berth hosts show ${host}; add a host, or end it: berth hosts uncordon ${host}`,
  });
}
