/** `berth logs`: the lines of all replicas. They are foreign text: nothing in them reaches the terminal unescaped. */
import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import type { Answer, Client } from "../client.ts";
import { ConnectionError } from "../client.ts";
import type { ServiceAddress } from "../core/parse-remote.ts";
import { clean } from "../output/clean.ts";
import { colours, print, printJsonLine, say } from "../output/print.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, wholeNumber, withEnv } from "./common.ts";

type Event = Answer<"readLogs">;
type Line = Extract<Event, { type: "lines" }>["lines"][number];

const RECONNECT_MS = 1000;

export function registerLogsCommand(program: Command): void {
  examples(
    withEnv(program.command("logs [service]"))
      .description("the last lines of all replicas, and live ones")
      .option("-f, --follow", "go on with live lines until Ctrl-C")
      .option("-n, --lines <count>", "how many of the last lines, at most 1000", wholeNumber(0, 1000), 100)
      .action(logs),
    "berth logs shop -n 1000",
    "berth logs shop -f",
  );
}

async function logs(
  name: string | undefined,
  flags: EnvFlags & { follow?: boolean; lines: number },
): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  let lines = flags.lines;
  for (;;) {
    try {
      await read(
        client,
        params,
        { lines, follow: flags.follow === true, json: flags.json === true },
        interrupt.signal,
      );
      if (flags.follow !== true || interrupt.signal.aborted) return;
      say("the stream ended; connecting again");
    } catch (error) {
      if (flags.follow !== true || !(error instanceof ConnectionError)) throw error;
      say(`${error.message}; trying again`);
    }
    // What came in between is asked for by count, not by time: better a repeat than a gap.
    lines = Math.min(flags.lines, 50);
    await delay(RECONNECT_MS, undefined, { signal: interrupt.signal }).catch(() => undefined);
    if (interrupt.signal.aborted) return;
  }
}

async function read(
  client: Client,
  params: ServiceAddress,
  how: { lines: number; follow: boolean; json: boolean },
  signal: AbortSignal,
): Promise<void> {
  const query = { lines: how.lines, follow: how.follow ? ("1" as const) : ("0" as const) };
  for await (const event of client.stream("readLogs", { params, query }, signal)) {
    if (how.json) printJsonLine(event);
    else if (event.type === "notice") say(colours.yellow(`notice: ${clean(event.text)}`));
    else for (const line of event.lines) print(format(line));
  }
}

function format({ atMs, instance, stream, text }: Line): string {
  const mark = stream === "stderr" ? colours.red("!") : "|";
  return `${colours.dim(new Date(atMs).toISOString())} ${colours.cyan(clean(instance).padEnd(8))} ${mark} ${clean(text)}`;
}
