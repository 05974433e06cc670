/**
 * A push under way: what its HTTP request knows and its hooks need. Hooks name it by a random id that only
 * they and we have seen.
 */
import { randomBytes } from "node:crypto";
import type { DeployId, UserId } from "@berth/shared/domain/ids.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { traceparent } from "@berth/shared/kit/telemetry.ts";
import type { GitService } from "../outbound/directory.ts";

export interface PushSession {
  readonly id: string;
  readonly service: GitService;
  readonly userId: UserId;
  readonly deployId: DeployId;
  /** When the client asked for the refs, just before; null when that was not seen. */
  readonly discoveredAtMs: number | null;
  readonly startedAtMs: number;
  readonly traceparent: string | null;
  /** Aborts when nobody reads any more; what the push started goes on. */
  readonly unheard: AbortController;
  /** The hook calls it when the refs are changed: from here on the push is safe and may take its time. */
  readonly onReceived: () => void;
  /** The hook calls it when the deploy is stored, or there is none. */
  readonly onRecorded: () => void;
}

/** A question for the refs that is older than this belongs to another push. */
const DISCOVERY_MS = 30_000;
const DISCOVERIES_COUNT = 1000;

export class PushSessions {
  readonly #sessions = new Map<string, PushSession>();
  /** Service and user → when the refs were asked for. Only for the stage, so the oldest may be forgotten. */
  readonly #discoveries = new Map<string, number>();

  discovering(service: GitService, userId: UserId, nowMs: number): void {
    const [oldest] = this.#discoveries.keys();
    if (this.#discoveries.size >= DISCOVERIES_COUNT && oldest !== undefined) this.#discoveries.delete(oldest);
    this.#discoveries.set(`${service.id} ${userId}`, nowMs);
  }

  #takeDiscovery(service: GitService, userId: UserId, nowMs: number): number | null {
    const key = `${service.id} ${userId}`;
    const atMs = this.#discoveries.get(key);
    this.#discoveries.delete(key);
    return atMs === undefined || nowMs - atMs > DISCOVERY_MS ? null : atMs;
  }

  open(
    given: Pick<PushSession, "service" | "userId" | "startedAtMs" | "onReceived" | "onRecorded">,
  ): PushSession {
    const session: PushSession = {
      ...given,
      discoveredAtMs: this.#takeDiscovery(given.service, given.userId, given.startedAtMs),
      id: randomBytes(16).toString("hex"),
      deployId: newId("deploy"),
      traceparent: traceparent(),
      unheard: new AbortController(),
    };
    this.#sessions.set(session.id, session);
    return session;
  }

  find(id: string): PushSession | undefined {
    return this.#sessions.get(id);
  }

  end(session: PushSession): void {
    this.#sessions.delete(session.id);
  }
}
