/** A tunnel through which one instance sends much to another: both hosts' agents schedule its process as a batch. */
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { until } from "../../git/until.ts";
import type { NetworkApp, NetworkLab } from "../network-lab.ts";

const sendForSeconds = 25;
const port = 9099;

/** @param address the instance's on the second host */
export async function carriesMuchAsBatch(lab: NetworkLab, app: NetworkApp, address: string) {
  const tunnel = `wb-${app.environmentId.slice(-10)}`;
  const isBatch = async (host: string) =>
    (await lab.on(host, `chrt --pid $(pgrep -f 'wireguard-g[o] -f ${tunnel}')`)).includes("SCHED_BATCH");
  const ends = () => Promise.all(["h1", "h2"].map(isBatch));
  expect(await ends()).toEqual([false, false]);
  const nc = `/bin/busybox timeout ${sendForSeconds} /bin/busybox nc`;
  // Without anything on its way back it would end at once.
  const receives = lab.inside(
    "h2",
    app,
    `/bin/busybox sleep ${sendForSeconds} | ${nc} -l -p ${port} >/dev/null`,
  );
  await delay(500);
  const sends = lab.inside("h1", app, `${nc} ${address} ${port} </dev/zero`);
  try {
    const both = async () => (await ends()).every(Boolean) || undefined;
    await until(`both ends of ${tunnel} to be scheduled as a batch`, both, sendForSeconds * 1000);
  } finally {
    await lab.on("h1", `pkill -f 'n[c] ${address} ${port}'`);
    await lab.on("h2", `pkill -f 'slee[p] ${sendForSeconds}'`);
    await Promise.all([receives, sends]);
  }
}
