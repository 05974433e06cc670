/** Start is recovery: what the ledger holds and what the engine runs become workers, without the control plane. */
import { join } from "node:path";
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { toObserved } from "../core/job-record.ts";
import { planRecovery } from "../core/plan-recovery.ts";
import { ContainerIndex } from "../jobs/container-index.ts";
import { ImagePuller } from "../jobs/image-puller.ts";
import { JobSet } from "../jobs/job-set.ts";
import { LeaseKeeper } from "../jobs/lease-keeper.ts";
import { Recovery } from "../jobs/recovery.ts";
import { Reporter } from "../jobs/reporter.ts";
import { StartGate } from "../jobs/start-gate.ts";
import { ContainerCables } from "../network/container-cables.ts";
import { readSeccompProfile } from "../outbound/host-files.ts";
import { LeaseFile } from "../outbound/lease-file.ts";
import { KernelOomLog } from "../outbound/oom-kills.ts";
import { RecoveryFile } from "../outbound/recovery-file.ts";
import { collectGarbage } from "./collect-garbage.ts";
import type { AgentContext, HostParts } from "./host-parts.ts";

const MEASURE_MS = 5000;
const ENGINE_AGAIN_MS = 1000;
/** Of a network that all jobs of a host shared, before environments had their own: whatever is left of one goes. */
const NETWORK_LABEL = "berth.network=jobs";

export interface RecoveredHost {
  readonly jobs: JobSet;
  readonly recovery: Recovery;
  readonly starts: StartGate;
}

export async function recoverJobs(context: AgentContext, parts: HostParts): Promise<RecoveredHost> {
  const { config, log, scope, clock } = context;
  const { host, bus, engine, networks, ports, meter, watch, secrets, ledger, loaded, bootId } = parts;
  const beganMs = clock.monotonicMs();
  const index = new ContainerIndex();
  await untilEngineAnswers(log, async () => {
    await networks.open();
    await meter.measure();
    await index.refresh(() => engine.list());
    watch.noteLook();
  });
  const measuring = scope.use(
    new Reconciler({ name: "measure", everyMs: MEASURE_MS, log, run: meter.measure }),
  );
  const reporter = scope.use(
    new Reporter({
      hostId: host.hostId,
      clock,
      emit: (event, payload) => bus.emit(event, payload),
      acknowledged: (seen) => jobs.noteAcknowledged(seen),
    }),
  );
  const puller = new ImagePuller(engine, measuring.wake);
  const starts = new StartGate(clock, config.startsAtOnce);
  const { recovery, plan } = await openRecovery(context, parts, index, beganMs);
  const jobs: JobSet = scope.use(
    new JobSet({
      hostId: host.hostId,
      podId: host.podId,
      registry: host.registry,
      bootId,
      networks,
      cables: new ContainerCables({ usedBeside: (jobId) => index.addressesBeside(jobId) }),
      ports,
      busyboxFolder: parts.busyboxFolder,
      seccomp: await readSeccompProfile(),
      cgroupParent: config.cgroupParent ?? null,
      engine,
      index,
      ledger,
      leases: new LeaseKeeper({
        file: new LeaseFile(join(config.hostDir, "leases.json"), bootId),
        bootId,
        monotonicMs: clock.monotonicMs,
        log,
      }),
      secrets,
      curve: parts.curve,
      clock,
      log,
      puller,
      starts,
      oomLog: scope.use(new KernelOomLog()),
      hostState: (records) => meter.state(records),
      report: (record) => {
        recovery.noteRecord(record);
        reporter.report(toObserved(record));
        for (const changed of parts.activatorChanges) changed();
      },
    }),
  );
  jobs.recover(plan.order, loaded.leaderEpoch, await secrets.jobsWithSecrets());
  collectGarbage(context, parts, jobs, puller);
  // Behind the jobs' back: nothing that it removes is needed by one.
  void recovery.carryOut(plan.steps);
  return { jobs, recovery, starts };
}

async function openRecovery(
  { config, log, clock }: AgentContext,
  { engine, secrets, ledger, loaded, bootId }: HostParts,
  index: ContainerIndex,
  beganMs: number,
) {
  const file = new RecoveryFile(config.hostDir);
  // Its absence costs a tidy host, not a running job.
  const networks = await engine.networksWith(NETWORK_LABEL).catch(() => []);
  const plan = planRecovery({
    nowMs: clock.nowMs(),
    bootId,
    lastBootId: await file.lastBootId(),
    records: loaded.records,
    containers: index.jobs().flatMap((jobId) => index.of(jobId).map((facts) => ({ ...facts, jobId }))),
    damagedFiles: loaded.damaged,
    tornFiles: loaded.torn,
    secretsOf: await secrets.jobsWithSecrets(),
    networks,
  });
  const recovery = new Recovery({ engine, secrets, ledger, file, bootId, clock, log, beganMs }, plan);
  return { recovery, plan };
}

/** The engine may come up after the agent, or be restarted: nothing is decided before it answered once. */
async function untilEngineAnswers(log: Log, work: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const level = tries % 30 === 1 ? "error" : "debug";
      log[level]("engine.not-usable", { tries, error: describeError(error) });
      await sleep(ENGINE_AGAIN_MS);
    }
  }
}
