/** Tells new lines live, in batches every 50 ms. What cannot be told is counted, never waited for. */
import { type LogLine, LogLines } from "@berth/shared/contracts/log.ts";
import { EnvironmentId, type HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { LiveQueue } from "../core/live-queue.ts";

const EVERY_MS = 50;
/** All services together, per turn: 20 MiB a second. */
const BYTES_PER_TURN = 1024 * 1024;

interface Service {
  readonly environmentId: string;
  readonly serviceId: string;
  readonly queue: LiveQueue;
}

export class LiveSender {
  readonly #bus: Pick<Bus, "connected" | "signal">;
  readonly #hostId: HostId;
  readonly #services = new Map<string, Service>();
  readonly #timer: NodeJS.Timeout;

  constructor(bus: Pick<Bus, "connected" | "signal">, hostId: HostId) {
    this.#bus = bus;
    this.#hostId = hostId;
    this.#timer = setInterval(() => this.flush(), EVERY_MS);
  }

  add(environmentId: string, serviceId: string, line: LogLine): void {
    const service = this.#services.get(serviceId) ?? { environmentId, serviceId, queue: new LiveQueue() };
    this.#services.set(serviceId, service);
    service.queue.add(line);
  }

  flush(): void {
    let bytes = 0;
    for (const [serviceId, service] of [...this.#services]) {
      if (service.queue.isEmpty) {
        this.#services.delete(serviceId);
        continue;
      }
      // Who was served goes to the end: one loud service does not keep the others waiting.
      this.#services.delete(serviceId);
      this.#services.set(serviceId, service);
      bytes += this.#send(service);
      if (bytes > BYTES_PER_TURN) return;
    }
  }

  #send({ environmentId, serviceId, queue }: Service): number {
    const batch = queue.take();
    if (!this.#bus.connected) {
      queue.giveUp(batch);
      return 0;
    }
    this.#bus.signal(LogLines, {
      hostId: this.#hostId,
      environmentId: EnvironmentId.parse(environmentId),
      serviceId: ServiceId.parse(serviceId),
      lines: [...batch.lines],
      droppedCount: batch.droppedCount,
    });
    return batch.lines.reduce((sum, line) => sum + line.text.length, 0);
  }

  close(): void {
    clearInterval(this.#timer);
    this.flush();
  }
}
