/** The last wake of each service that this process saw, as metrics. */
import type { ServiceId } from "@berth/shared/domain/ids.ts";
import type { ColdStartStage } from "@berth/shared/domain/sleep.ts";
import { observe, type Point } from "@berth/shared/kit/metrics.ts";

const MOST_SERVICES = 10_000;

export class ColdStartBook {
  readonly #last = new Map<ServiceId, readonly ColdStartStage[]>();

  constructor() {
    const description = "Stages of the last wake of a service: notice, start, listen, settle";
    observe({ name: "cold_start_ms", unit: "ms", description, kind: "gauge" }, () => this.points());
  }

  note(serviceId: ServiceId, stages: readonly ColdStartStage[]): void {
    if (stages.length === 0) return;
    this.#last.delete(serviceId);
    this.#last.set(serviceId, stages);
    const [oldest] = this.#last.keys();
    if (this.#last.size > MOST_SERVICES && oldest !== undefined) this.#last.delete(oldest);
  }

  points(): Point[] {
    return [...this.#last].flatMap(([service, stages]) =>
      stages.map(({ name: stage, ms: value }) => ({
        value,
        attributes: { "berth.service_id": service, stage },
      })),
    );
  }
}
