/** GetHostUsage: what each job of this host uses, CPU over half a second. Only running containers are measured. */
import { GetHostUsage, type JobUsage } from "@berth/shared/contracts/host.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { JobId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import pLimit from "p-limit";
import { filesOf, readCpu, readUsage } from "../outbound/cgroup-usage.ts";
import type { Engine } from "../outbound/docker.ts";

const CPU_WINDOW_MS = 500;
const INSPECTS_AT_ONCE = 8;

export interface HostUsageGiven {
  readonly bus: Bus;
  readonly hostId: HostId;
  readonly engine: Pick<Engine, "list" | "inspect">;
  readonly clock: Clock;
}

export function serveHostUsage({ bus, hostId, engine, clock }: HostUsageGiven) {
  return bus.serve(GetHostUsage, { hostId }, async () => ({
    hostId,
    atMs: clock.nowMs(),
    jobs: await measureJobs(engine),
  }));
}

export async function measureJobs(engine: HostUsageGiven["engine"]): Promise<JobUsage[]> {
  const running = (await engine.list()).filter(({ state }) => state === "running");
  const limit = pLimit(INSPECTS_AT_ONCE);
  const measured = await Promise.all(running.map(({ id, jobId }) => measure(engine, limit, id, jobId)));
  return measured.filter((one) => one !== null).slice(0, 2000);
}

async function measure(
  engine: HostUsageGiven["engine"],
  limit: ReturnType<typeof pLimit>,
  containerId: string,
  job: string,
): Promise<JobUsage | null> {
  const jobId = JobId.safeParse(job);
  const found = await limit(() => engine.inspect(containerId));
  if (!jobId.success || found === null || found.pid === 0) return null;
  const files = await filesOf(found.pid);
  if (files === null) return null;
  const [before, startedMs] = [await readCpu(files), performance.now()];
  await sleep(CPU_WINDOW_MS);
  const [after, usage] = [await readCpu(files), await readUsage(files)];
  const windowMs = performance.now() - startedMs;
  if (before === null || after === null || usage === null) return null;
  // Microseconds per millisecond are thousandths of one CPU.
  return { jobId: jobId.data, ...usage, cpuMillis: Math.max(0, (after - before) / windowMs) };
}
