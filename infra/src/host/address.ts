/**
 * `berth host address`: this machine got another address. Its key is its identity, so it stays the same host: the
 * agent is started again (its containers are not) and tells the pod where it is.
 */
import { join } from "node:path";
import { z } from "zod";
import { replaceFile } from "../pki/key-file.ts";
import type { Progress } from "../progress.ts";
import { connect } from "../supervisor/client.ts";
import { readHostFile } from "./join.ts";

export type HostAddressGiven = {
  readonly stateDir: string;
  readonly nodeAddress: string;
  readonly progress: Progress;
};

/** @returns the address that it had */
export async function changeHostAddress({
  stateDir,
  nodeAddress,
  progress,
}: HostAddressGiven): Promise<string> {
  if (!z.ipv4().safeParse(nodeAddress).success)
    throw new Error(`${JSON.stringify(nodeAddress)} is not an IPv4 address such as 10.0.0.9`);
  const hostDir = join(stateDir, "host");
  const host = await readHostFile(hostDir);
  if (host === null)
    throw new Error(`this machine is no host yet: ${hostDir} has no host.json. Run: berth host join`);
  const changed = { ...host, nodeAddress };
  await replaceFile(join(hostDir, "host.json"), `${JSON.stringify(changed, null, 2)}\n`);
  const supervisor = await connect(join(stateDir, "run"));
  if (supervisor === null) progress("nothing runs here; the pod is told at the next start");
  else await supervisor.restart("agent");
  return host.nodeAddress;
}
