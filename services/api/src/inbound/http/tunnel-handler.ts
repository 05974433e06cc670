/**
 * `openTunnel`: from a person's WebSocket to a ready instance. The agent of its host makes the last leg; the bytes go
 * over the bus in a passage, whose two windows bound what waits for a slow reader on either side.
 */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { type TunnelEvent, TunnelWord } from "@berth/shared/contracts/http/tunnels.ts";
import {
  OpenPassage,
  PassageDown,
  type PassageEndReason,
  PassageUp,
} from "@berth/shared/contracts/passage.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { PassageEnd, type PassageLocal } from "@berth/shared/kit/passage-end.ts";
import type { Closable } from "@berth/shared/kit/service.ts";
import { chooseInstances } from "../../core/choose-instances.ts";
import { audited } from "../../outbound/audited.ts";
import { type ReachableInstance, readReachableInstances } from "../../outbound/instance-store.ts";
import type { Db } from "../../outbound/tables.ts";
import type { Asked, Handlers } from "./handler.ts";
import type { ServedSocket, SocketEnd } from "./serve-sockets.ts";

export interface TunnelLimits {
  /** A connection without a byte for so long ends. */
  readonly idleMs: number;
  /** A connection ends after this, whatever it does. */
  readonly totalMs: number;
}

interface Given {
  readonly db: Db;
  readonly bus: Bus;
  readonly log: Log;
  readonly limits: TunnelLimits;
}

type Tunnel = ServedSocket<TunnelEvent>;

const LOOK_MS = 1000;

export function tunnelHandler(given: Given): Pick<Handlers, "openTunnel"> {
  let turn = 0;
  return {
    openTunnel: async (asked, socket) => {
      turn += 1;
      // What comes before the instance is there waits with its sender.
      socket.raw.pause();
      const opened = await open(given, asked, socket, turn);
      const { instance, port } = opened;
      const startedMs = systemClock.monotonicMs();
      try {
        // No byte goes before the row is there.
        await note(given, asked, "tunnel.opened", {
          instance: nameOf(instance),
          port,
          hostId: instance.hostId,
        });
      } catch (error) {
        opened.end.close("shutting-down");
        await opened.close();
        throw error;
      }
      socket.say({ type: "open", instance: nameOf(instance), port });
      listen(socket, opened.end);
      const why = await ended(given.limits, socket, opened);
      await opened.close();
      socket.say({ type: "closed", why });
      const { sentBytes, receivedBytes } = opened.end;
      const ranMs = Math.round(systemClock.monotonicMs() - startedMs);
      const told = {
        instance: nameOf(instance),
        port,
        why,
        toBytes: sentBytes,
        fromBytes: receivedBytes,
        ranMs,
      };
      await note(given, asked, "tunnel.closed", told).catch((error: unknown) =>
        given.log.error("tunnel.end-not-audited", { ...told, error: describeError(error) }),
      );
    },
  };
}

interface Opened extends Closable {
  readonly instance: ReachableInstance;
  readonly port: number;
  readonly end: PassageEnd;
  readonly over: Promise<PassageEndReason>;
}

async function open(
  { db, bus }: Given,
  { object, query }: Asked<"openTunnel">,
  socket: Tunnel,
  turn: number,
): Promise<Opened> {
  const ready = await readReachableInstances(db, object.serviceId);
  const chosen = chooseInstances(ready, query.process, turn);
  const reasons: string[] = [];
  for (const instance of chosen) {
    const port = query.port ?? instance.port;
    if (port === null) continue;
    const outcome = await openPassage(bus, socket, instance, port);
    if (typeof outcome !== "string") return outcome;
    reasons.push(`${nameOf(instance)}: ${outcome}`);
    if (socket.ended.aborted) break;
  }
  const what = query.process === undefined ? object.service : `${query.process} of ${object.service}`;
  throw new BerthError(
    "unavailable",
    reasons.length === 0 ? `no instance of ${what} is ready` : `no way to ${what}: ${reasons.join("; ")}`,
  );
}

/** @returns why not */
async function openPassage(
  bus: Bus,
  socket: Tunnel,
  instance: ReachableInstance,
  port: number,
): Promise<Opened | string> {
  const { hostId, jobId, environmentId } = instance;
  const passageId = newId("passage");
  let finish: (why: PassageEndReason) => void = () => undefined;
  const over = new Promise<PassageEndReason>((resolve) => {
    finish = resolve;
  });
  const end = new PassageEnd({
    local: asLocal(socket, finish),
    send: (frame) => bus.signal(PassageDown, { hostId, passageId, ...frame }),
    monotonicMs: systemClock.monotonicMs,
  });
  // Before it is asked for: the instance may speak first.
  const subscription = bus.on(PassageUp, { hostId, passageId }, ({ hostId: _h, passageId: _p, ...frame }) =>
    end.take(frame),
  );
  const reply = await bus
    .request(OpenPassage, { hostId, passageId, environmentId, jobId, port })
    .catch(() => ({ answer: "refused" as const, reason: "its host does not answer" }));
  if (reply.answer === "opened") return { instance, port, end, over, close: () => subscription.close() };
  end.close("client-left");
  await subscription.close();
  return reply.reason;
}

function asLocal({ raw, say }: Tunnel, finish: (why: PassageEndReason) => void): PassageLocal {
  return {
    write: (bytes, passedOn) => raw.send(bytes, { binary: true }, () => passedOn()),
    end: () => say({ type: "end" }),
    pause: () => raw.pause(),
    resume: () => raw.resume(),
    closed: finish,
  };
}

function listen({ raw }: Tunnel, end: PassageEnd): void {
  raw.on("message", (data: Buffer, isBinary: boolean) => {
    if (isBinary) return end.fromLocal(data);
    if (isEnd(data)) end.localEnded();
    else end.close("protocol");
  });
  raw.resume();
}

function isEnd(data: Buffer): boolean {
  try {
    return TunnelWord.safeParse(JSON.parse(data.toString("utf8"))).success;
  } catch {
    return false;
  }
}

/** Waits until the passage is over, and ends it when the person left, may not stay, or a limit is reached. */
async function ended(
  { idleMs, totalMs }: TunnelLimits,
  { ended: left }: Tunnel,
  { end, over }: Opened,
): Promise<PassageEndReason> {
  const startedMs = systemClock.monotonicMs();
  const onLeft = () => end.close(left.reason as SocketEnd);
  if (left.aborted) onLeft();
  left.addEventListener("abort", onLeft, { once: true });
  const watch = setInterval(() => {
    const nowMs = systemClock.monotonicMs();
    if (nowMs - end.movedAtMs >= idleMs) end.close("idle");
    if (nowMs - startedMs >= totalMs) end.close("time-over");
  }, LOOK_MS);
  try {
    return await over;
  } finally {
    clearInterval(watch);
    left.removeEventListener("abort", onLeft);
  }
}

function nameOf({ process, slot }: ReachableInstance): string {
  return `${process}.${slot}`;
}

function note(
  { db }: Given,
  { object, actor }: Asked<"openTunnel">,
  action: string,
  details: object,
): Promise<null> {
  return audited(db, actor, async () => ({
    result: null,
    act: { action, target: object.serviceId, orgId: object.orgId, details },
  }));
}
