/** Writes a host's alarms to its log: when one begins, and again while it lasts, but not with every heartbeat. */
import type { HostAlarm } from "@berth/shared/domain/placement.ts";
import type { Log } from "@berth/shared/kit/log.ts";

const AGAIN_MS = 3_600_000;
const EVENTS: Readonly<Record<string, string>> = {
  "disk-filling": "disk.filling",
  "ceiling-near": "ceiling.near",
  "ceiling-reached": "ceiling.reached",
  "ceiling-unread": "ceiling.unread",
};

export class AlarmLog {
  readonly #log: Log;
  readonly #toldAtMs = new Map<string, number>();

  constructor(log: Log) {
    this.#log = log;
  }

  note(alarms: readonly HostAlarm[], nowMs: number): void {
    for (const { code, detail } of alarms) {
      // What stands before the colon names the ceiling; the numbers behind it change all the time.
      const key = `${code} ${code.startsWith("ceiling-") ? detail.split(":")[0] : ""}`;
      if (nowMs - (this.#toldAtMs.get(key) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) continue;
      this.#toldAtMs.set(key, nowMs);
      this.#log.warn(EVENTS[code] ?? "host.alarm", { code, detail });
    }
  }
}
