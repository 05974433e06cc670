/** TailLogs: the last lines of a service that this host kept. */
import { type LogLine, TailLogs } from "@berth/shared/contracts/log.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { fitReply } from "../core/fit-reply.ts";
import { toLogLine } from "../core/kept-line.ts";
import type { RingStore } from "../outbound/ring-store.ts";

export function serveTailLogs(bus: Bus, hostId: HostId, rings: RingStore) {
  return bus.serve(TailLogs, { hostId }, async ({ serviceId, linesCount }) => {
    const kept = await rings.tail(serviceId, linesCount);
    const { lines, truncated } = fitReply(kept.map((line): LogLine => toLogLine(line)));
    return { hostId, lines: [...lines], truncated };
  });
}
