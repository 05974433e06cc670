/**
 * Hosts die, are cut off, lose power, are drained; the control plane goes away: one pod of five lab hosts, one case
 * after the other. Times are printed and never judged here: `berth rehearse` does that. Needs root.
 *
 * `BERTH_HOSTS_STATE_DIR` names a pod that is kept from run to run; `BERTH_HOSTS` is a regular expression of cases.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { shortLengths } from "./case.ts";
import { hostCases } from "./cases.ts";
import { type HostPod, makeStateDir, removeHostPod, startHostPod } from "./host-pod.ts";

vi.setConfig({ testTimeout: 300_000 });

const keptDir = process.env.BERTH_HOSTS_STATE_DIR;
const wanted = new RegExp(process.env.BERTH_HOSTS ?? ".");
const stateDir = keptDir ?? makeStateDir();
const say = (line: string): void => console.log(line);
let pod: HostPod;

beforeAll(async () => {
  pod = await startHostPod({ stateDir, say });
}, 600_000);

afterAll(async () => {
  await pod?.close();
  if (keptDir === undefined) await removeHostPod(stateDir, say);
}, 120_000);

describe("hosts and control plane fail", () => {
  test.each(hostCases.filter(({ name }) => wanted.test(name)))("$name: $title", async (one) => {
    await pod.reset();
    const findings = await one.run(pod, shortLengths);
    for (const { what, promise, measured } of findings)
      console.log(`   ${what}: ${measured} (promise: ${promise})`);
    const broken = findings.filter(({ kind, kept }) => kind === "level" && !kept);
    expect(broken).toEqual([]);
  });
});
