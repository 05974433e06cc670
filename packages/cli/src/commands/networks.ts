/** `berth network`: an environment's hosts and tunnels, and new keys for them. */
import type { Command } from "commander";
import type { Answer } from "../client.ts";
import { type Mood, renderMesh } from "../core/render-mesh.ts";
import { byteWords } from "../core/tunnel-words.ts";
import { clean } from "../output/clean.ts";
import { colours, print, printJson, printLines, printTable, say } from "../output/print.ts";
import { age, table } from "../output/table.ts";
import { connect, findEnvironment } from "../session/context.ts";
import type { CommonFlags } from "./common.ts";
import { examples, withJson } from "./common.ts";
import { registerPeerCommands } from "./network-peers.ts";

export function registerNetworkCommands(program: Command): void {
  const network = program.command("network").description("an environment's encrypted network");
  registerPeerCommands(network);
  examples(
    withJson(network.command("show [environment]"))
      .description("hosts, tunnels, handshakes, latency, loss and bytes")
      .action(showNetwork),
    "berth network show acme/production",
    "berth network show acme/production --json",
  );
  examples(
    withJson(network.command("rotate [environment]"))
      .description("new keys for every tunnel of the environment (owners)")
      .action(rotateKeys),
    "berth network rotate acme/production",
  );
}

type Network = Answer<"showNetwork">;
type Row = { readonly from: string; readonly tunnel: Network["hosts"][number]["tunnels"][number] };

async function showNetwork(address: string | undefined, flags: CommonFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, address);
  const network = await client.call("showNetwork", { params });
  if (flags.json === true) return printJson(network);
  if (network.subnet === null) return say("nothing of this environment runs, so it has no network yet");
  const { subnet, hosts, namesCount, keyGeneration } = network;
  print(
    `${clean(params.org)}/${clean(params.environment)}  ${subnet}  ${namesCount} ${namesCount === 1 ? "name" : "names"}  key generation ${keyGeneration}`,
  );
  const nowMs = Date.now();
  type Host = Network["hosts"][number];
  const hostColumns = [
    { title: "HOST", cell: (h: Host) => clean(h.name) },
    { title: "SLICE", cell: (h: Host) => h.slice },
    { title: "ENCRYPTED BY", cell: (h: Host) => h.wireguard },
    {
      title: "REPORTED",
      align: "right" as const,
      cell: (h: Host) => (h.reportedAt === null ? null : age(Date.parse(h.reportedAt), nowMs)),
    },
  ];
  printTable(table(hostColumns, hosts), "no host is in it now");
  const rows = hosts.flatMap(({ name, tunnels }) => tunnels.map((tunnel): Row => ({ from: name, tunnel })));
  if (rows.length > 0) printTable(table(tunnelColumns(nowMs), rows), "");
  const clear = hosts.map((host) => ({ ...host, name: clean(host.name) }));
  printLines(renderMesh(clear, paint));
}

const PAINT: Record<Mood, (text: string) => string> = {
  well: colours.green,
  weak: colours.yellow,
  down: colours.red,
  none: (text) => text,
};

/** Colours on a terminal only. */
function paint(text: string, mood: Mood): string {
  return PAINT[mood](text);
}

function tunnelColumns(nowMs: number) {
  const right = "right" as const;
  return [
    { title: "FROM", cell: ({ from }: Row) => clean(from) },
    { title: "TO", cell: ({ tunnel }: Row) => clean(tunnel.to) },
    { title: "STATE", cell: ({ tunnel }: Row) => tunnel.state },
    {
      title: "HANDSHAKE",
      align: right,
      cell: ({ tunnel }: Row) => (tunnel.handshakeAtMs === 0 ? null : age(tunnel.handshakeAtMs, nowMs)),
    },
    {
      title: "LATENCY",
      align: right,
      cell: ({ tunnel }: Row) => (tunnel.latencyMs === null ? null : `${tunnel.latencyMs.toFixed(2)} ms`),
    },
    { title: "LOST", align: right, cell: ({ tunnel }: Row) => `${tunnel.lostCount} of ${tunnel.sentCount}` },
    { title: "RECEIVED", align: right, cell: ({ tunnel }: Row) => byteWords(tunnel.rxBytes) },
    { title: "SENT", align: right, cell: ({ tunnel }: Row) => byteWords(tunnel.txBytes) },
    { title: "HEALED", align: right, cell: ({ tunnel }: Row) => tunnel.healedCount },
  ];
}

async function rotateKeys(address: string | undefined, flags: CommonFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, address);
  const reply = await client.call("rotateNetworkKeys", { params });
  if (flags.json === true) return printJson(reply);
  say(
    `every host of ${params.org}/${params.environment} makes a new key (generation ${reply.keyGeneration}); see: berth network show ${params.org}/${params.environment}`,
  );
}
