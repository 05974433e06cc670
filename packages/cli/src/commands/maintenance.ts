/** `berth maintenance`: let every edge answer 503 with a page for a while. */
import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import type { Answer, Client } from "../client.ts";
import { print, printJson, say } from "../output/print.ts";
import { withProgress } from "../output/progress.ts";
import { age } from "../output/table.ts";
import { CliError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";

type Maintenance = Answer<"showMaintenance">;
type Service = Awaited<ReturnType<typeof findService>>;

const LOOK_MS = 200;
const WAIT_MS = 30_000;

export function registerMaintenanceCommands(program: Command): void {
  const group = program
    .command("maintenance")
    .description("answer 503 with a page for a service; its instances keep running");
  examples(
    withEnv(group.command("on [service]"))
      .description("begin, and wait until every edge answers so")
      .action((name: string | undefined, flags: EnvFlags) => change(name, flags, true)),
    "berth maintenance on shop",
  );
  examples(
    withEnv(group.command("off [service]"))
      .description("end, and wait until every edge lets requests through")
      .action((name: string | undefined, flags: EnvFlags) => change(name, flags, false)),
    "berth maintenance off shop",
  );
  examples(
    withEnv(group.command("show [service]", { isDefault: true }))
      .description("whether the service is in maintenance")
      .action(show),
    "berth maintenance show shop",
  );
}

async function change(name: string | undefined, flags: EnvFlags, on: boolean): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  await client.call("changeMaintenance", { params, body: { on } });
  const state = await withProgress("telling every edge", untilAcknowledged(client, params));
  if (flags.json === true) printJson(state);
  else if (state.acknowledged)
    say(on ? `every edge answers 503 for ${params.service}` : `${params.service} gets requests again`);
  if (!state.acknowledged)
    throw new CliError(`some edge has not taken it up after ${WAIT_MS / 1000} s; it will when it can`, {
      next: `Look again: berth maintenance show ${params.service}`,
    });
}

async function untilAcknowledged(client: Client, params: Service): Promise<Maintenance> {
  const deadlineMs = performance.now() + WAIT_MS;
  for (;;) {
    const state = await client.call("showMaintenance", { params });
    if (state.acknowledged || performance.now() >= deadlineMs) return state;
    await delay(LOOK_MS);
  }
}

async function show(name: string | undefined, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const state = await client.call("showMaintenance", { params });
  if (flags.json === true) return printJson(state);
  const since = state.sinceMs === null ? "" : `, since ${age(state.sinceMs, Date.now())}`;
  const edges = state.acknowledged ? "" : "; not every edge knows yet";
  print(`maintenance of ${params.service} is ${state.on ? "on" : "off"}${since}${edges}`);
}
