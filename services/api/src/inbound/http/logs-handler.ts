/**
 * `readLogs`: the last lines of every host that may have some, merged by time; then live lines without a gap or a
 * repeat. A host that does not answer in time is named, not waited for.
 */
import type { LogLine } from "@berth/shared/contracts/log.ts";
import { LogLines, TailLogs } from "@berth/shared/contracts/log.ts";
import type { EnvironmentId, HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { HostLines } from "../../core/merge-lines.ts";
import { mergeByTime, Seam } from "../../core/merge-lines.ts";
import { readLogHosts } from "../../outbound/host-store.ts";
import type { Db } from "../../outbound/tables.ts";
import type { EventStream } from "./event-stream.ts";
import type { Handlers } from "./handler.ts";
import type { Reply } from "./routes.ts";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
}

type Event = Reply<"readLogs">;

const TAIL_TIMEOUT_MS = 3000;
const LINES_PER_EVENT = 250;
const BUFFERED_LINES = 5000;

export function logsHandler({ db, bus }: Given): Pick<Handlers, "readLogs"> {
  return {
    readLogs: async ({ object, query }, open) => {
      const follow = query.follow === "1";
      const live = new LiveLines();
      const tokens = {
        environmentId: object.environmentId as EnvironmentId,
        serviceId: object.serviceId as ServiceId,
      };
      const subscription = follow
        ? bus.on(LogLines, tokens, ({ hostId, lines, droppedCount }) =>
            live.take(hostId, lines, droppedCount),
          )
        : undefined;
      try {
        const hosts = query.lines === 0 ? [] : await readLogHosts(db);
        const stream = open();
        const { tails, notices } = await tailHosts(bus, hosts, tokens.serviceId, query.lines);
        for (const text of notices) stream.send({ type: "notice", text });
        sendLines(stream, mergeByTime(tails, query.lines));
        if (!follow) return;
        live.connect(stream, new Seam(tails));
        await ended(stream.ended);
      } finally {
        await subscription?.close();
      }
    },
  };
}

async function tailHosts(
  bus: Bus,
  hosts: readonly { id: string; name: string; lost: boolean }[],
  serviceId: ServiceId,
  linesCount: number,
): Promise<{ tails: HostLines[]; notices: string[] }> {
  const tails: HostLines[] = [];
  const notices: string[] = [];
  await Promise.all(
    hosts.map(async ({ id, name, lost }) => {
      if (lost) {
        notices.push(`host ${name} is lost: its lines are missing`);
        return;
      }
      try {
        const reply = await bus.request(
          TailLogs,
          { hostId: id as HostId, serviceId, linesCount },
          { timeoutMs: TAIL_TIMEOUT_MS },
        );
        tails.push({ hostId: id, lines: reply.lines });
        if (reply.truncated)
          notices.push(
            `host ${name} answered with fewer lines than it has: they were too long for one message`,
          );
      } catch {
        notices.push(`host ${name} did not answer in ${TAIL_TIMEOUT_MS / 1000} s: its lines are missing`);
      }
    }),
  );
  return { tails, notices: notices.sort() };
}

function sendLines(stream: EventStream<Event>, lines: readonly LogLine[]): void {
  for (let i = 0; i < lines.length; i += LINES_PER_EVENT) {
    stream.send({ type: "lines", lines: lines.slice(i, i + LINES_PER_EVENT) });
  }
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Live lines: buffered (bounded) until the stored ones were sent, then passed on; drops are told once they end. */
class LiveLines {
  readonly #buffer: { hostId: string; lines: readonly LogLine[] }[] = [];
  #bufferedCount = 0;
  #droppedCount = 0;
  #out: { stream: EventStream<Event>; seam: Seam } | undefined;

  take(hostId: string, lines: readonly LogLine[], droppedCount: number): void {
    this.#droppedCount += droppedCount;
    if (this.#out !== undefined) {
      this.#pass(this.#out, hostId, lines);
    } else if (this.#bufferedCount + lines.length <= BUFFERED_LINES) {
      this.#buffer.push({ hostId, lines });
      this.#bufferedCount += lines.length;
    } else {
      this.#droppedCount += lines.length;
    }
  }

  connect(stream: EventStream<Event>, seam: Seam): void {
    this.#out = { stream, seam };
    for (const { hostId, lines } of this.#buffer.splice(0)) this.#pass(this.#out, hostId, lines);
  }

  #pass(
    { stream, seam }: { stream: EventStream<Event>; seam: Seam },
    hostId: string,
    lines: readonly LogLine[],
  ): void {
    const fresh = seam.fresh(hostId, lines);
    if (fresh.length > 0 && !stream.offer({ type: "lines", lines: fresh })) {
      this.#droppedCount += fresh.length;
      return;
    }
    if (this.#droppedCount === 0) return;
    stream.send({
      type: "notice",
      text: `${this.#droppedCount} lines were left out: more came than could be passed on`,
    });
    this.#droppedCount = 0;
  }
}
