/**
 * What the activator is told of a host name: whether somebody may be connected to, and who.
 *
 * Pure. What must stay true: while a service sleeps, nobody is connected to before that sleep was ended here or by the
 * scheduler: what runs still may be stopped any moment.
 */
import type { AgentLine } from "@berth/shared/contracts/activator.ts";
import type { RouteSite } from "@berth/shared/contracts/route.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { JobRecord } from "../core/job-record.ts";

const MOST_INSTANCES = 500;

export function tellHostname(
  hostname: string,
  site: RouteSite | undefined,
  isEnded: (serviceId: string, epoch: number) => boolean,
  records: readonly JobRecord[],
): AgentLine {
  if (site === undefined) return { hostname, state: "unknown", instances: [] };
  const { serviceId, sleep, backends } = site;
  if (sleep !== undefined && !isEnded(serviceId, sleep.epoch))
    return { hostname, state: "waiting", instances: [] };
  const own = sleep === undefined ? [] : records.filter((record) => mayBeAsked(record, serviceId));
  const thawing = sleep === undefined ? undefined : records.find((record) => isThawing(record, serviceId));
  const byJob = new Map(backends.map(({ jobId, address, port }) => [jobId, { address, port }]));
  for (const { spec, address } of own)
    if (address !== null) byJob.set(spec.jobId, { address, port: spec.profile.port });
  const instances = [...byJob.values()].slice(0, MOST_INSTANCES);
  if (instances.length === 0 && thawing?.address != null)
    return {
      hostname,
      state: "thawing",
      instances: [{ address: thawing.address, port: thawing.spec.profile.port }],
    };
  return { hostname, state: instances.length > 0 ? "open" : "waiting", instances };
}

/** Its sleep is over in the ledger, so nothing freezes or stops it again before it ran. */
function isThawing({ spec, state, everReady, sleep, stopWanted }: JobRecord, serviceId: string): boolean {
  return (
    spec.serviceId === serviceId &&
    isWeb(spec) &&
    state === "frozen" &&
    everReady &&
    sleep === null &&
    !stopWanted
  );
}

function isWeb({ process, task }: JobRecord["spec"]): boolean {
  return process === "web" && task === null;
}

/** Without a health path, that it listens is all there is to wait for: the activator tries that itself. */
function mayBeAsked(
  { spec, state, ready, address, sleep, stopWanted }: JobRecord,
  serviceId: string,
): boolean {
  if (spec.serviceId !== serviceId || !isWeb(spec) || address === null) return false;
  if (sleep !== null || stopWanted || isFinal(state)) return false;
  return (ready && state === "running") || (state === "starting" && spec.readiness.httpPath === null);
}
