/** Berth's arm: two instances of one app on two hosts, and the containers that its environment's network joins. */
import { instancesOf, netnsOf } from "../../network/namespaces.ts";
import type { NetworkApp, NetworkLab } from "../../network/network-lab.ts";
import type { Path } from "./transfer.ts";

export async function berthPath(lab: NetworkLab, app: NetworkApp): Promise<Path> {
  const [from, to] = await instancesOf(lab.lab.hosts, `berth.service=${app.id}`);
  if (from === undefined || to === undefined || from.host === to.host)
    throw new Error("the app does not run on both hosts");
  return { name: "Berth", from, to, hosts: [from, to].map(({ host }) => netnsOf(host, 1)) };
}
