/** `berth events`: what happened to jobs, deploys and hosts, and who did what. Foreign text is cleaned. */
import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import type { Answer, Client } from "../client.ts";
import { ConnectionError } from "../client.ts";
import { parseDuration } from "../core/parse-duration.ts";
import { clean } from "../output/clean.ts";
import { colours, print, printJson, printJsonLine, say } from "../output/print.ts";
import { connect, resolveEnvironment } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, wholeNumber, withJson } from "./common.ts";

type HistoryEvent = Answer<"watchEvents">;

interface EventFlags extends EnvFlags {
  readonly service?: string;
  readonly host?: string;
  readonly since?: number;
  readonly follow?: boolean;
  readonly limit: number;
  readonly before?: string;
}

interface Filter {
  readonly org?: string;
  readonly environment?: string;
  readonly service?: string;
  readonly host?: string;
}

const RECONNECT_MS = 1000;

export function registerEventsCommand(program: Command): void {
  examples(
    withJson(program.command("events"))
      .description(
        "what happened to jobs, deploys and hosts, and who did what; operators see the whole pod's",
      )
      .option("-e, --env <org/environment>", "only of this environment")
      .option("-s, --service <name>", "only of this service")
      .option("--host <name>", "only on this host")
      .option("--since <duration>", "only of the last 30s, 15m, 6h, 2d", duration)
      .option("-n, --limit <count>", "how many, at most 1000", wholeNumber(1, 1000), 50)
      .option("--before <position>", "what came before the end of an earlier list")
      .option("-f, --follow", "go on with what happens, until Ctrl-C")
      .action(events),
    "berth events --service shop --since 1h",
    "berth events --host h2 -f",
  );
}

function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === null || ms === undefined) throw new InvalidArgumentError("write it like 30s, 15m, 6h or 2d.");
  return ms;
}

async function events(flags: EventFlags): Promise<void> {
  const client = await connect();
  const filter = await filterOf(client, flags);
  const since = flags.since === undefined ? {} : { sinceMs: Date.now() - flags.since };
  const before = flags.before === undefined ? {} : { before: flags.before };
  const query = { ...filter, ...since, ...before, limit: flags.limit };
  const reply = await client.call("listEvents", { query });
  if (flags.follow !== true) return printPage(reply, flags.json === true);
  const shown = reply.events.toReversed();
  for (const event of shown) show(event, flags.json === true);
  await follow(client, filter, shown, flags.json === true);
}

async function filterOf(client: Client, flags: EventFlags): Promise<Filter> {
  return {
    ...(flags.env === undefined ? {} : await resolveEnvironment(client, flags.env)),
    ...(flags.service === undefined ? {} : { service: flags.service }),
    ...(flags.host === undefined ? {} : { host: flags.host }),
  };
}

function printPage(reply: Answer<"listEvents">, json: boolean): void {
  if (json) {
    printJson(reply);
    return;
  }
  for (const event of reply.events.toReversed()) show(event, false);
  if (reply.events.length === 0) say("nothing happened");
  if (reply.next !== null) say(`older ones: berth events --before ${reply.next}`);
}

/** A lost connection is made again and goes on where it stopped; what was shown is not shown again. */
async function follow(
  client: Client,
  filter: Filter,
  shown: readonly HistoryEvent[],
  json: boolean,
): Promise<void> {
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  const told = new Set(shown.map(({ id }) => id));
  let sinceMs = shown.at(-1)?.atMs ?? Date.now();
  while (!interrupt.signal.aborted) {
    try {
      for await (const event of client.stream(
        "watchEvents",
        { query: { ...filter, sinceMs } },
        interrupt.signal,
      )) {
        sinceMs = Math.max(sinceMs, event.atMs);
        if (!told.has(event.id)) show(event, json);
        told.add(event.id);
      }
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      say(`${error.message}; trying again`);
    }
    await delay(RECONNECT_MS, undefined, { signal: interrupt.signal }).catch(() => undefined);
  }
}

function show(event: HistoryEvent, json: boolean): void {
  if (json) printJsonLine(event);
  else print(renderEvent(event));
}

const BAD = /\.(failed|lost|suspect|unplaceable|frozen|rolled-back|identity-cloned)$/;

function renderEvent({ atMs, kind, org, environment, service, text }: HistoryEvent): string {
  const place = [org, environment, service].filter((part) => part !== null).join("/");
  const what = BAD.test(kind) ? colours.red(clean(text)) : clean(text);
  return `${colours.dim(new Date(atMs).toISOString())} ${colours.cyan(clean(place).padEnd(24))} ${what}`;
}
