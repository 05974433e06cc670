/** `berth alarms`: what an operator should know of the pod. */
import type { Command } from "commander";
import type { Answer } from "../client.ts";
import { clean } from "../output/clean.ts";
import { printJson, printTable } from "../output/print.ts";
import { age, table } from "../output/table.ts";
import { connect } from "../session/context.ts";
import type { CommonFlags } from "./common.ts";
import { examples, withJson } from "./common.ts";

type Alarm = Answer<"listAlarms">["alarms"][number];

export function registerAlarmCommand(program: Command): void {
  examples(
    withJson(program.command("alarms"))
      .description("what is wrong in the pod right now (operators)")
      .option("-a, --all", "also what is over")
      .action(alarms),
    "berth alarms",
    "berth alarms --all --json",
  );
}

async function alarms(flags: CommonFlags & { all?: boolean }): Promise<void> {
  const client = await connect();
  const reply = await client.call("listAlarms", { query: { all: flags.all === true ? "1" : "0" } });
  if (flags.json === true) return printJson(reply);
  const nowMs = Date.now();
  const columns = [
    { title: "ALARM", cell: (alarm: Alarm) => alarm.code },
    { title: "OF", cell: (alarm: Alarm) => clean(alarm.host ?? alarm.subject) },
    { title: "SINCE", align: "right" as const, cell: (alarm: Alarm) => age(Date.parse(alarm.since), nowMs) },
    { title: "STATE", cell: (alarm: Alarm) => (alarm.clearedAt === null ? "open" : "over") },
    { title: "", cell: (alarm: Alarm) => clean(alarm.detail) },
  ];
  printTable(table(columns, reply.alarms), "no alarms");
}
