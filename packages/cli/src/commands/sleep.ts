/** `berth sleep` and `berth wake`: let a service sleep until its next request, or wake it. */
import { setTimeout as delay } from "node:timers/promises";
import { SleepLevel } from "@berth/shared/domain/sleep.ts";
import { type Command, Option } from "commander";
import type { Answer, Client } from "../client.ts";
import { formatDuration, parseDuration } from "../core/parse-duration.ts";
import type { ServiceAddress } from "../core/parse-remote.ts";
import { sleepLine } from "../core/render-sleep.ts";
import { printJson, say } from "../output/print.ts";
import { CliError, usageError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";

type Sleep = Answer<"sleepService">["sleep"];

interface SleepFlags extends EnvFlags {
  readonly level: SleepLevel;
  readonly after?: string;
  readonly detach?: boolean;
}

const POLL_MS = 300;
const TIMEOUT_MS = 3 * 60_000;

export function registerSleepCommands(program: Command): void {
  examples(
    withEnv(program.command("sleep [service]"))
      .description("let a service sleep: nothing of it runs until its next request")
      .addOption(
        new Option("--level <level>", "frozen: paused; stopped: containers stay; away: only the image stays")
          .choices(SleepLevel.options)
          .default("stopped"),
      )
      .option("--after <time>", "not now: whenever nobody asked for it for so long (15m, 1h), or `off`")
      .option("--detach", "do not wait until it sleeps")
      .action(sleep),
    "berth sleep shop",
    "berth sleep shop --level frozen",
    "berth sleep shop --after 15m       # by itself, from now on",
    "berth sleep shop --after off",
  );
  examples(
    withEnv(program.command("wake [service]"))
      .description("wake a service that sleeps, as its next request would")
      .option("--detach", "do not wait until it is awake")
      .action(wake),
    "berth wake shop",
  );
}

async function sleep(name: string | undefined, flags: SleepFlags): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  if (flags.after !== undefined) return sleepByItself(client, params, flags, flags.after);
  const { sleep: before } = await client.call("sleepService", { params, body: { level: flags.level } });
  const quiet = flags.json === true;
  if (!quiet) say(`${params.service} is to sleep: its edges hold new requests, what is open may end`);
  if (flags.detach === true) return quiet ? printJson({ sleep: before }) : undefined;
  // Another epoch than before, or asleep already.
  const isDone = (now: Sleep) =>
    now.state === "asleep" && (now.epoch > before.epoch || before.state === "asleep");
  const isBack = (now: Sleep) => now.state === "awake" && now.epoch > before.epoch;
  const now = await follow(client, params, (one) => isDone(one) || isBack(one), "asleep");
  if (quiet) return printJson({ sleep: now });
  if (isBack(now)) throw new CliError(`${params.service} is awake: a request or a deploy came meanwhile`);
  say(`${params.service} is ${sleepLine(now, Date.now())}`);
}

async function sleepByItself(
  client: Client,
  params: ServiceAddress,
  flags: SleepFlags,
  after: string,
): Promise<void> {
  const sleepAfterMs = after === "off" ? null : parseDuration(after);
  if (sleepAfterMs === undefined)
    throw usageError(
      `--after: ${JSON.stringify(after)} is not a length of time`,
      "Write 10s, 15m, 1h or off.",
    );
  const body = { sleepAfterMs, sleepLevel: flags.level };
  const { policy } = await client.call("changeServicePolicy", { params, body });
  if (flags.json === true) return printJson({ policy });
  if (policy.sleepAfterMs === null) return say(`${params.service} does not fall asleep by itself`);
  const time = formatDuration(policy.sleepAfterMs);
  say(`${params.service} falls asleep (${policy.sleepLevel}) when nobody asked for it for ${time}`);
}

async function wake(name: string | undefined, flags: EnvFlags & { detach?: boolean }): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const { sleep: before } = await client.call("wakeService", { params });
  const quiet = flags.json === true;
  if (!quiet && before.state !== "awake") say(`waking ${params.service}`);
  if (flags.detach === true) return quiet ? printJson({ sleep: before }) : undefined;
  const now = await follow(client, params, ({ state }) => state === "awake", "awake");
  if (quiet) return printJson({ sleep: now });
  say(`${params.service} is ${sleepLine(now, Date.now())}`);
}

async function follow(
  client: Client,
  params: ServiceAddress,
  isDone: (sleep: Sleep) => boolean,
  what: string,
): Promise<Sleep> {
  const endsAtMs = Date.now() + TIMEOUT_MS;
  for (;;) {
    const { sleep: now } = await client.call("serviceStatus", { params });
    if (now !== undefined && isDone(now)) return now;
    if (Date.now() > endsAtMs)
      throw new CliError(
        `not ${what} after ${TIMEOUT_MS / 60_000} minutes: it is ${now?.state ?? "unknown"}`,
        {
          next: `See why: berth status ${params.service}, berth events ${params.service}`,
        },
      );
    await delay(POLL_MS);
  }
}
