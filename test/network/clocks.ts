/** A host's clock as the other end of a tunnel knows it: from the handshakes that it sends. */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { hostBerthDir } from "@berth/infra/lab/lab-pod.ts";
import type { WireguardKeys } from "@berth/shared/kit/wireguard-keys.ts";
import { z } from "zod";
import { netnsOf } from "./namespaces.ts";

const hourMs = 3_600_000;
const main = join(import.meta.dirname, "handshake-main.ts");

const networkFile = z.object({
  keys: z.object({ privateKey: z.string(), publicKey: z.string() }),
  network: z.object({
    members: z.array(z.object({ publicKey: z.string(), nodeAddress: z.string(), port: z.number() })),
  }),
});

/**
 * The host's clock was an hour ahead when it shook hands with `other`, and is right now: `other` takes no handshake of it
 * for an hour. @throws when `other` did not take the first, or takes the second
 */
export async function clockWasAhead(host: LabHost, other: LabHost, environmentId: string): Promise<void> {
  const ahead = await shakeHands(host, other, environmentId, Date.now() + hourMs);
  if (!ahead) throw new Error(`${other.name} did not answer a handshake of ${host.name}`);
  const now = await shakeHands(host, other, environmentId, Date.now());
  if (now) throw new Error(`${other.name} took a handshake of ${host.name} that is older than its last`);
}

/** @returns whether it was answered */
async function shakeHands(
  host: LabHost,
  other: LabHost,
  environmentId: string,
  clockMs: number,
): Promise<boolean> {
  const { keys, network } = await readNetwork(host, environmentId);
  const peer = network.members.find(({ nodeAddress }) => nodeAddress === other.address);
  if (peer === undefined) throw new Error(`${host.name} does not know ${other.name}`);
  const order: { own: WireguardKeys } & Record<string, unknown> = {
    own: keys,
    ...{ peerPublicKey: peer.publicKey, clockMs, to: other.address, port: peer.port },
  };
  const words = [`--net=${netnsOf(host, 1)}`, process.execPath, main];
  const child = spawn("nsenter", words, { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify(order));
  return z.boolean().parse(JSON.parse(await text(child.stdout)));
}

async function readNetwork(host: LabHost, environmentId: string) {
  const path = join(hostBerthDir(host), "networks", `${environmentId}.json`);
  return networkFile.parse(JSON.parse(await readFile(path, "utf8")));
}
