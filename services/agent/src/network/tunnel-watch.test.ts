/** Tunnels that rest are not judged; those that are used are healed when nothing comes back. */
import type { Clock } from "@berth/shared/kit/clock.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { expect, test } from "vitest";
import { desire, environmentId, held } from "../testing/test-networks.ts";
import { afterStep } from "./core/after-step.ts";
import { STALL_AFTER_MS } from "./core/judge-peer.ts";
import { type ObservedHost, planNetwork } from "./core/plan-network.ts";
import type { HostNetworks } from "./host-networks.ts";
import { Resting } from "./resting.ts";
import type { ProbePath, Prober } from "./shell/prober.ts";
import type { Wireguard } from "./shell/wireguard.ts";
import { TunnelWatch } from "./tunnel-watch.ts";

const desired = desire(2, held(0, 2), held(1, 2));
const nothing: ObservedHost = {
  ...{ engineNetworks: [], links: new Set(), addresses: new Map(), tunnels: [], routes: [] },
  rulePriorities: [],
};
const stood = planNetwork(desired, nothing).reduce(afterStep, nothing);

/** Nobody ever answers. */
function silentWorld() {
  const resting = new Resting();
  const healed: string[] = [];
  const rounds: { asked: string[]; quiet: string[] }[] = [];
  const now = { ms: 0 };
  const keys = (paths: readonly ProbePath[] = []) => paths.map(({ key }) => key.split(" ")[0] as string);
  const watch = new TunnelWatch({
    networks: { resting, tunnels: stood.tunnels, desired: () => desired } as unknown as HostNetworks,
    wireguard: {
      renewPeer: async ({ name }: { name: string }) => void healed.push(name),
    } as unknown as Wireguard,
    prober: {
      heardAtMs: () => null,
      summary: () => ({ latencyMs: null, sentCount: 0, lostCount: 0 }),
      round: (asked: ProbePath[], quiet: ProbePath[]) =>
        void rounds.push({ asked: keys(asked), quiet: keys(quiet) }),
    } as unknown as Prober,
    clock: { monotonicMs: () => now.ms } as Clock,
    log: silentLog,
  });
  const states = () =>
    Object.fromEntries(watch.reports.map((report) => [report.environmentId ?? "mesh", report.state]));
  return { resting, healed, rounds, now, watch, states };
}

const [awake, asleep] = [environmentId(0), environmentId(1)];

test("an environment that rests is neither asked nor judged; after its rest it has time to answer", async () => {
  const { resting, healed, rounds, now, watch, states } = silentWorld();
  resting.take(new Set([asleep]));
  await watch.probe();
  expect(rounds).toEqual([{ asked: ["mesh", awake], quiet: [asleep] }]);
  await watch.look(false);
  expect(states()).toEqual({ mesh: "starting", [awake]: "starting", [asleep]: "resting" });
  now.ms = 10 * STALL_AFTER_MS;
  await watch.look(false);
  expect(states()).toEqual({ mesh: "stalled", [awake]: "stalled", [asleep]: "resting" });
  expect(healed).toHaveLength(2);
  resting.take(new Set());
  await watch.look(false);
  expect(states()[asleep]).toBe("starting");
  now.ms += STALL_AFTER_MS;
  await watch.look(false);
  expect(states()[asleep]).toBe("stalled");
});

test("on a host that rests no tunnel is judged, the mesh neither", async () => {
  const { healed, now, watch, states } = silentWorld();
  await watch.look(false);
  now.ms = 10 * STALL_AFTER_MS;
  await watch.look(true);
  expect(states()).toEqual({ mesh: "resting", [awake]: "resting", [asleep]: "resting" });
  await watch.look(false);
  expect(states()).toEqual({ mesh: "starting", [awake]: "starting", [asleep]: "starting" });
  expect(healed).toEqual([]);
});
