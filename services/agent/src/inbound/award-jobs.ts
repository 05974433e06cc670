/** AwardJobs: accept or decline, job by job, with the host's fresh state. */
import { AwardJobs } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { AwardAnswer } from "../core/decide-award.ts";
import type { HostMeter } from "../jobs/host-meter.ts";
import type { JobSet } from "../jobs/job-set.ts";

export interface AwardGiven {
  readonly bus: Bus;
  readonly hostId: HostId;
  readonly jobs: JobSet;
  readonly meter: HostMeter;
  readonly log: Log;
}

export function serveAwardJobs({ bus, hostId, jobs, meter, log }: AwardGiven) {
  return bus.serve(AwardJobs, { hostId }, async (award) => {
    const answers = await jobs.award(award, () => meter.state(jobs.records()));
    log.info("jobs.awarded", {
      accepted: answers.filter(({ refusal }) => refusal === null).length,
      declined: answers.flatMap(({ refusal }) => (refusal === null ? [] : [refusal])),
    });
    return { hostId, answers: answers.map(toReply), state: meter.state(jobs.records()) };
  });
}

function toReply({ spec, refusal }: AwardAnswer) {
  const { jobId, epoch } = spec;
  if (refusal === null) return { answer: "accepted" as const, jobId, epoch };
  return { answer: "declined" as const, jobId, epoch, code: refusal.code, detail: refusal.detail };
}
