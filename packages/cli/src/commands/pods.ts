/** `berth pods`: named sets of hosts under this control plane, and how each is filled. */
import type { Command } from "commander";
import { Option } from "commander";
import type { Answer } from "../client.ts";
import { printJson, printTable, say } from "../output/print.ts";
import { table } from "../output/table.ts";
import { connect } from "../session/context.ts";
import type { CommonFlags } from "./common.ts";
import { examples, withJson } from "./common.ts";

type Pod = Answer<"listPods">["pods"][number];
type Strategy = Pod["strategy"];

interface StrategyFlags extends CommonFlags {
  readonly strategy: Strategy;
}

const strategy = () =>
  new Option(
    "--strategy <name>",
    "spread: work goes where most is free; binpack: one host is filled first",
  ).choices(["spread", "binpack"]);

export function registerPodsCommands(program: Command): void {
  const pods = program.command("pods").description("sets of hosts under this control plane (operators)");
  examples(
    withJson(pods.command("list")).description("pods with their strategies").action(listPods),
    "berth pods list",
  );
  examples(
    withJson(pods.command("create <name>"))
      .description("make a pod; hosts join it with a token for it")
      .addOption(strategy().default("spread"))
      .action(createPod),
    "berth pods create eu-2 --strategy binpack",
    "berth hosts token --pod eu-2 --zone b",
    "berth environments create acme/berlin --pod eu-2",
  );
  examples(
    withJson(pods.command("set <name>"))
      .description("set a pod's strategy, for what is placed from now on")
      .addOption(strategy().makeOptionMandatory())
      .action(setPod),
    "berth pods set main --strategy binpack",
  );
}

async function listPods(flags: CommonFlags): Promise<void> {
  const reply = await (await connect()).call("listPods", {});
  if (flags.json === true) return printJson(reply);
  const columns = [
    { title: "POD", cell: (pod: Pod) => pod.name },
    { title: "STRATEGY", cell: (pod: Pod) => pod.strategy },
    { title: "HOSTS", align: "right" as const, cell: (pod: Pod) => pod.hostsCount },
    { title: "ENVIRONMENTS", align: "right" as const, cell: (pod: Pod) => pod.environmentsCount },
    { title: "SINCE", cell: (pod: Pod) => pod.createdAt.slice(0, 10) },
  ];
  printTable(table(columns, reply.pods), "there is no pod");
}

async function createPod(name: string, flags: StrategyFlags): Promise<void> {
  const body = { name, strategy: flags.strategy };
  const pod = await (await connect()).call("createPod", { body });
  if (flags.json === true) return printJson(pod);
  say(`made the pod ${pod.name} (${pod.strategy}); next: berth hosts token --pod ${pod.name}`);
}

async function setPod(name: string, flags: StrategyFlags): Promise<void> {
  const body = { strategy: flags.strategy };
  const pod = await (await connect()).call("changePod", { params: { pod: name }, body });
  if (flags.json === true) return printJson(pod);
  say(`the pod ${pod.name} is filled by ${pod.strategy} from now on; what runs stays where it is`);
}
