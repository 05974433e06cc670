/** Outside names whose addresses are none of the internet: a container is not told them. */
import { expect } from "vitest";
import { until } from "../git/until.ts";
import { serveNames } from "./name-server.ts";
import type { NetworkApp, NetworkLab } from "./network-lab.ts";

const timeoutMs = 60_000;
const addresses = {
  public: "11.22.33.44",
  documentation: "203.0.113.77",
  private: "10.1.2.3",
  home: "192.168.1.1",
  self: "127.0.0.1",
  metadata: "169.254.169.254",
  shared: "100.64.1.1",
};

export async function rebindingNamesHaveNoAnswer(lab: NetworkLab, app: NetworkApp): Promise<void> {
  const upstream = await serveNames(lab.lab.machineAddress, addresses);
  const isTold = async (label: keyof typeof addresses): Promise<boolean> => {
    const answer = await lab.inside("h1", app, `/bin/busybox nslookup -type=a ${label}.rebinding.test 2>&1`);
    return answer.split("\n").some((line) => line.trim() === `Address: ${addresses[label]}`);
  };
  try {
    await lab.on("h1", `echo nameserver ${lab.lab.machineAddress} > /etc/resolv.conf`);
    await until("the outside name", async () => (await isTold("public")) || undefined, timeoutMs);
    for (const label of Object.keys(addresses) as (keyof typeof addresses)[]) {
      expect(await isTold(label), label).toBe(label === "public");
      expect(upstream.asked).toContain(`${label}.rebinding.test`);
    }
  } finally {
    await lab.on("h1", ": > /etc/resolv.conf");
    await upstream.close();
  }
}
