/** `berth network peer`: this person's machine in an environment's network, for a while. */

import { newWireguardKeys } from "@berth/shared/kit/wireguard-keys.ts";
import type { Command } from "commander";
import type { Answer, Client } from "../client.ts";
import { parseDuration } from "../core/parse-duration.ts";
import { peerConfig } from "../core/peer-config.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, printTable, say } from "../output/print.ts";
import { table } from "../output/table.ts";
import { CliError, EXIT, usageError } from "../session/cli-error.ts";
import { connect, type EnvironmentAddress, findEnvironment } from "../session/context.ts";
import { forgetPeerKey, readPeerKey, savePeerKey } from "../session/peer-keys.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";

interface AddFlags extends EnvFlags {
  readonly name: string;
  readonly expires: string;
  readonly publicKey?: string;
}

export function registerPeerCommands(network: Command): void {
  const peer = network
    .command("peer")
    .description("your own machine in an environment's network, for a while");
  examples(
    withEnv(peer.command("add"))
      .description(
        "let a machine in; prints its wg-quick configuration, whose key is made here and stays here",
      )
      .requiredOption("-n, --name <name>", "a name for the machine")
      .option("-x, --expires <time>", "how long, at most 7d", "8h")
      .option("--public-key <key>", "of a key that was made elsewhere")
      .action(add),
    "berth network peer add --env acme/production --name laptop > berth.conf && wg-quick up ./berth.conf",
    'berth network peer add --name laptop --expires 30m --public-key "$(wg pubkey < laptop.key)"',
  );
  examples(
    withEnv(peer.command("show <name>"))
      .description("its configuration as it is now: hosts come and go, and keys are rotated")
      .action(show),
    "berth network peer show laptop > berth.conf && wg syncconf berth <(wg-quick strip ./berth.conf)",
  );
  examples(
    withEnv(peer.command("list")).description("the machines that are in now").action(list),
    "berth network peer list --env acme/production",
  );
  examples(
    withEnv(peer.command("rm <name>")).description("let a machine out, at once on every host").action(remove),
    "berth network peer rm laptop",
  );
}

type Peers = Answer<"listNetworkPeers">;

function placeOf(client: Client, params: EnvironmentAddress, name: string) {
  return { apiUrl: client.apiUrl, ...params, name };
}

async function add(flags: AddFlags): Promise<void> {
  const ms = parseDuration(flags.expires);
  if (ms === null || ms === undefined || ms < 60_000)
    throw usageError(
      `${JSON.stringify(flags.expires)} is no time`,
      "Write for example 30m, 8h or 2d; at least 1m.",
    );
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const keys = flags.publicKey === undefined ? newWireguardKeys() : null;
  const publicKey = keys?.publicKey ?? flags.publicKey ?? "";
  const body = { name: flags.name, publicKey, lifetimeMinutes: Math.floor(ms / 60_000) };
  const added = await client.call("addNetworkPeer", { params, body });
  // Only a key that is in has a file.
  if (keys !== null) await savePeerKey(placeOf(client, params, flags.name), keys.privateKey);
  if (flags.json === true) {
    printJson(added);
    return;
  }
  print(peerConfig(added.peer.address, keys?.privateKey ?? null, added.ways));
  say(`${clean(added.peer.name)} is in ${params.org}/${params.environment} until ${added.peer.expiresAt}`);
}

async function find(client: Client, params: EnvironmentAddress, name: string) {
  const { peers, ways } = await client.call("listNetworkPeers", { params });
  const peer = peers.find((one) => one.name === name);
  if (peer === undefined)
    throw new CliError(`there is no machine ${clean(name)} in ${params.org}/${params.environment}`, {
      exitCode: EXIT.notFound,
      next: "See `berth network peer list`; one whose time is over is added again.",
    });
  return { peer, ways };
}

async function show(name: string, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const { peer, ways } = await find(client, params, name);
  if (flags.json === true) {
    printJson({ peer, ways });
    return;
  }
  print(peerConfig(peer.address, await readPeerKey(placeOf(client, params, name)), ways));
}

async function list(flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const { peers } = await client.call("listNetworkPeers", { params });
  if (flags.json === true) {
    printJson({ peers });
    return;
  }
  type Peer = Peers["peers"][number];
  const columns = [
    { title: "NAME", cell: (one: Peer) => clean(one.name) },
    { title: "OF", cell: (one: Peer) => clean(one.owner) },
    { title: "ADDRESS", cell: (one: Peer) => one.address },
    { title: "UNTIL", cell: (one: Peer) => one.expiresAt },
  ];
  printTable(table(columns, peers), "no machine of a person is in it");
}

async function remove(name: string, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const reply = await client.call("removeNetworkPeer", { params: { ...params, peer: name } });
  await forgetPeerKey(placeOf(client, params, name));
  if (flags.json === true) printJson(reply);
  else say(`${clean(name)} is out of ${params.org}/${params.environment}`);
}
