/** Every message and timer that can reach the agent. */

import { BerthError } from "@berth/shared/contracts/errors.ts";
import { PassageUp } from "@berth/shared/contracts/passage.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { observe } from "@berth/shared/kit/metrics.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { ActivityWatch } from "../activator/activity-watch.ts";
import {
  answeredAgain,
  ChangingPeriod,
  isResting,
  leadsOthers,
  restingEnvironments,
} from "../core/host-rest.ts";
import { serveAwardJobs } from "../inbound/award-jobs.ts";
import { keepCertificates } from "../inbound/certificates.ts";
import { serveDeliverEnvelope } from "../inbound/deliver-envelope.ts";
import { followEngineEvents } from "../inbound/engine-events.ts";
import { onHostDesired } from "../inbound/host-desired.ts";
import { Heartbeat, type HeartbeatGiven } from "../inbound/host-heartbeat.ts";
import { askHostPeers, onHostPeers } from "../inbound/host-peers.ts";
import { serveHostUsage } from "../inbound/host-usage.ts";
import { onMeshChanged, onNetworkChanged, tellTunnels } from "../inbound/networks.ts";
import { servePassages } from "../inbound/passages.ts";
import { askRouteTables, onRouteTableChanged } from "../inbound/route-tables.ts";
import { AlarmLog } from "../jobs/alarm-log.ts";
import { BatchedTunnels } from "../network/batched-tunnels.ts";
import { TUNNEL_METRICS, tunnelPoints } from "../network/core/tunnel-metrics.ts";
import { machineName } from "../outbound/measure.ts";
import { HostPassages } from "../passages/host-passages.ts";
import type { AgentContext, HostParts } from "./host-parts.ts";
import type { RecoveredHost } from "./recover-jobs.ts";
import { serveActivator } from "./serve-activator.ts";

const AGENT_VERSION = "0.1.0";
/** An engine with two hundred containers takes 80 ms for a list, of which its events tell the changes. */
const LOOK_PERIOD = { everyMs: 5000, everyFactor: 200, mostEveryMs: 15_000 };
/** While all sleeps (core/host-rest.ts). */
const RESTING_LOOK_MS = 20_000;
const LEASES_LOOK_MS = 500;
/** A tunnel whose process died, or rules that somebody flushed, are back within this and the time it takes: within 10 s. */
const NETWORK_VERIFY_MS = 3000;
const MOST_VERIFY_MS = 6000;
/** A look reads all networks, so it comes the less often the more there are. */
const VERIFY_MS_PER_NETWORK = 60;
const NETWORKS_ASK_MS = 5000;
const PROBE_MS = 2000;
/** While nobody uses the host's networks (core/host-rest.ts): whatever wakes brings the short periods back. */
const RESTING_VERIFY_MS = 120_000;
/** Others' probes are answered meanwhile. */
const RESTING_PROBE_MS = 300_000;
/** Whether the host rests is found out by looking at all its jobs and routes. */
const REST_LOOK_MS = 1000;
const ACTIVITY_MS = 2000;
/** Besides after each look at the networks. */
const TUNNELS_LOOK_MS = 10_000;
/** A tunnel that begins to carry much is scheduled so after two looks. */
const CARRYING_LOOK_MS = 300;
const REPORT_MS = 10_000;
/** A passage to an instance that is gone ends within this. */
const PASSAGES_LOOK_MS = 1000;
/** A proxy of an environment that ended has a successor within this and the time of its start. */
const PROXIES_LOOK_MS = 1000;
const PEERS_ASK_MS = 60_000;
const ROUTES_ASK_MS = 10_000;
const ASK_AGAIN_MS = 1000;

export function serveWorld(context: AgentContext, parts: HostParts, recovered: RecoveredHost): void {
  const { jobs } = recovered;
  const { log, scope } = context;
  const { bus, networks, routes, edge, engine, meter, watch, proxies, hostRoutes } = parts;
  const { hostId } = parts.host;
  const heartbeat = new Heartbeat(heartbeatGiven(context, parts, recovered));
  scope.use(serveAwardJobs({ bus, hostId, jobs, meter, log }));
  scope.use(serveDeliverEnvelope(bus, hostId, jobs));
  scope.use(heartbeat.serveAskBid());
  scope.use(serveHostUsage({ bus, hostId, engine, clock: context.clock }));
  scope.use(onHostDesired(bus, hostId, jobs));
  scope.use(onHostPeers(bus, networks, log));
  scope.use(onNetworkChanged(bus, hostId, networks, log));
  scope.use(onMeshChanged(bus, networks, log));
  const passages = scope.use(
    new HostPassages({
      jobs: () => jobs.records(),
      send: (frame) => bus.signal(PassageUp, { hostId, ...frame }),
      clock: context.clock,
      log,
    }),
  );
  scope.use(servePassages(bus, hostId, passages));
  const events = scope.use(followEngineEvents(engine, jobs, log));
  const every = (name: string, everyMs: number, run: () => Promise<void>) =>
    scope.use(new Reconciler({ name, everyMs, log, run }));
  every("leases", LEASES_LOOK_MS, async () => jobs.lookAtLeases());
  const verifying = new ChangingPeriod();
  const probing = new ChangingPeriod();
  const nowMs = () => context.clock.monotonicMs();
  const isAtRest = answeredAgain(REST_LOOK_MS, nowMs, () => {
    const isUsed = () => edge.status().isServing || leadsOthers(networks.desired());
    return isResting(jobs.records()) && !isUsed();
  });
  const looking = new ChangingPeriod();
  const look = async () => {
    if (!looking.isDue(isAtRest() ? RESTING_LOOK_MS : 0, nowMs())) return;
    const missed = await jobs.look();
    watch.noteLook();
    if (missed > 0) events.suspect();
  };
  scope.use(new Reconciler({ name: "look", ...LOOK_PERIOD, log, run: look }));
  // Apart from the look: healing a tunnel may wait for the network service.
  const tunnels = every("tunnels", TUNNELS_LOOK_MS, async () => parts.tunnels.look(isAtRest()));
  every("network", NETWORK_VERIFY_MS, async () => {
    const used = jobs.records().map(({ spec }): string => spec.environmentId);
    await networks.leaveUnused(new Set([...used, ...proxies.environments()]));
    const resting = restingEnvironments(jobs.records(), networks.desired());
    if (networks.resting.take(resting)) await networks.apply();
    const gateways = networks.desired()?.networks.map(({ gateway }) => gateway) ?? [];
    const crowdedMs = Math.min(MOST_VERIFY_MS, gateways.length * VERIFY_MS_PER_NETWORK);
    if (!verifying.isDue(isAtRest() ? RESTING_VERIFY_MS : crowdedMs, nowMs())) return;
    await networks.look();
    tunnels.wake();
    await parts.ports.look(new Set([...jobs.running(), ...proxies.containerIds()]), gateways);
  });
  for (const metric of TUNNEL_METRICS)
    observe(metric, () =>
      tunnelPoints(metric, parts.tunnels.reports, { hostId, nowMs: context.clock.nowMs() }),
    );
  every("passages", PASSAGES_LOOK_MS, async () => passages.look());
  const activity = new ActivityWatch({ bus, hostId, edge: hostRoutes });
  every("edge-activity", ACTIVITY_MS, activity.tell);
  every("probe", PROBE_MS, async () => {
    if (probing.isDue(isAtRest() ? RESTING_PROBE_MS : 0, nowMs())) await parts.tunnels.probe();
  });
  const batched = new BatchedTunnels({ desired: () => networks.desired(), clock: context.clock, log });
  every("batched-tunnels", CARRYING_LOOK_MS, async () => {
    if (!isAtRest()) await batched.look();
  });
  every("network-report", REPORT_MS, async () => tellTunnels(context, parts));
  const asking = (what: string, everyMs: number, ask: () => Promise<void>) => {
    const asker: Reconciler = every(what, everyMs, () =>
      askWhenThere(bus, log, what, () => asker.wake(), ask),
    );
    return asker;
  };
  const peers = asking("peers", PEERS_ASK_MS, () => askHostPeers(bus, parts.host, networks));
  const members = asking("networks", NETWORKS_ASK_MS, () => networks.sync());
  const certificates = asking("certificates", ROUTES_ASK_MS, () =>
    keepCertificates(parts.certificates, edge, proxies),
  );
  const tables = asking("routes", ROUTES_ASK_MS, async () => {
    await askRouteTables(routes, hostRoutes, proxies.told());
    certificates.wake();
  });
  parts.proxyChanges.add(tables.wake);
  const proxyRounds = every("proxies", PROXIES_LOOK_MS, async () => {
    const open = jobs.records().filter(({ state }) => !isFinal(state));
    await proxies.round(new Set(open.map(({ spec }) => spec.environmentId)), edge.tables());
    await parts.doors.keep(new Set(proxies.environments()));
  });
  const taken = () => {
    tellActivator(parts);
    certificates.wake();
    proxyRounds.wake();
  };
  scope.use(onRouteTableChanged(routes, hostRoutes, taken));
  scope.use(heartbeat.start());
  void serveActivator(context, parts, { jobs, askTables: tables.wake }).catch((error: unknown) =>
    log.error("activator.not-served", { error: describeError(error) }),
  );
  void bus.ready.then(() => {
    log.info("agent.on-the-bus", { hostId });
    peers.wake();
    tables.wake();
    members.wake();
  });
}

function tellActivator({ activatorChanges }: HostParts): void {
  for (const changed of activatorChanges) changed();
}

function heartbeatGiven(
  { clock, log }: AgentContext,
  parts: HostParts,
  { jobs, recovery, starts }: RecoveredHost,
): HeartbeatGiven {
  return {
    bus: parts.bus,
    hostId: parts.host.hostId,
    jobs,
    meter: parts.meter,
    alarms: new AlarmLog(log),
    clock,
    bootId: parts.bootId,
    agentStartedAtMs: clock.nowMs(),
    agentVersion: AGENT_VERSION,
    machine: machineName(),
    recovery: () => recovery.report,
    startsAtOnce: () => starts.limit,
    routes: () => parts.hostRoutes.applied(),
  };
}

/** A part of the control plane that is away is no error of this host: what stands stays, and it is asked again soon. */
async function askWhenThere(
  bus: Bus,
  log: Log,
  what: string,
  again: () => void,
  ask: () => Promise<void>,
): Promise<void> {
  if (!bus.connected) return;
  try {
    await ask();
  } catch (error) {
    if (!(error instanceof BerthError && error.code === "unavailable")) throw error;
    log.info("ask.unanswered", { what });
    setTimeout(again, ASK_AGAIN_MS).unref();
  }
}
