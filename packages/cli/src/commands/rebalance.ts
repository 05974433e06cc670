/** `berth rebalance`: shows what would be moved, or moves it and tells of every move. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { Answer, Client } from "../client.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, printTable, say } from "../output/print.ts";
import { table } from "../output/table.ts";
import { CliError } from "../session/cli-error.ts";
import { connect } from "../session/context.ts";
import type { CommonFlags } from "./common.ts";
import { examples, withJson } from "./common.ts";

type Planned = Answer<"planRebalance">["moves"][number];
type Rebalance = Answer<"listRebalances">["rebalances"][number];

const LOOK_EVERY_MS = 1000;

export function registerRebalanceCommand(program: Command): void {
  examples(
    withJson(program.command("rebalance"))
      .description("even out the pod: one instance after the other, start-first (operators)")
      .option("--plan", "only show what would be moved and why")
      .option("--status", "show the last rebalances and their moves")
      .option("--detach", "do not wait for the end")
      .action(rebalance),
    "berth rebalance --plan",
    "berth rebalance",
    "berth rebalance --status --json",
  );
}

async function rebalance(
  flags: CommonFlags & { plan?: boolean; status?: boolean; detach?: boolean },
): Promise<void> {
  const client = await connect();
  if (flags.plan === true) return showPlan(client, flags);
  if (flags.status === true) return showStatus(client, flags);
  const { id } = await client.call("startRebalance", {});
  if (flags.detach === true) {
    if (flags.json === true) return printJson({ id });
    return say(`${id} begins; look at it with: berth rebalance --status`);
  }
  const ended = await follow(client, id, flags);
  if (flags.json === true) return printJson(ended);
  say(`${ended.moves.length} moved: ${clean(ended.reason ?? "finished")}`);
}

async function showPlan(client: Client, flags: CommonFlags): Promise<void> {
  const reply = await client.call("planRebalance", {});
  if (flags.json === true) return printJson(reply);
  const columns = [
    { title: "INSTANCE", cell: (move: Planned) => `${clean(move.service)} ${clean(move.instance)}` },
    { title: "FROM", cell: (move: Planned) => clean(move.from) },
    { title: "TO", cell: (move: Planned) => clean(move.to) },
    { title: "GAIN", align: "right" as const, cell: (move: Planned) => move.gain.toFixed(2) },
    { title: "WHY", cell: (move: Planned) => clean(move.reason) },
  ];
  printTable(table(columns, reply.moves), "nothing would gain enough by a move");
}

async function showStatus(client: Client, flags: CommonFlags): Promise<void> {
  const reply = await client.call("listRebalances", {});
  if (flags.json === true) return printJson(reply);
  if (reply.rebalances.length === 0) return say("there was no rebalance yet");
  for (const one of reply.rebalances) {
    print(`${one.id}  ${one.cause}  ${one.state}${one.reason === null ? "" : `: ${clean(one.reason)}`}`);
    for (const move of one.moves) print(`  ${describe(move)}`);
  }
}

/** Tells of each move as it begins and ends. A rebalance waits for deploys, drains and its hourly budget. */
async function follow(client: Client, id: string, flags: CommonFlags): Promise<Rebalance> {
  const told = new Map<string, string>();
  for (;;) {
    const { rebalances } = await client.call("listRebalances", {});
    const mine = rebalances.find((one) => one.id === id);
    if (mine === undefined) throw new CliError(`${id} is not among the last rebalances any more`);
    for (const move of mine.moves) {
      const key = `${move.service} ${move.instance} ${move.startedAt}`;
      if (told.get(key) === move.state) continue;
      told.set(key, move.state);
      if (flags.json !== true) print(describe(move));
    }
    if (mine.state === "finished") return mine;
    await sleep(LOOK_EVERY_MS);
  }
}

function describe(move: Rebalance["moves"][number]): string {
  return `${clean(move.service)} ${clean(move.instance)}: ${clean(move.from)} → ${clean(move.to)}, ${move.state} (${clean(move.reason)})`;
}
