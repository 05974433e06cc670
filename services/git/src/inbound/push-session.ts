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
  readonly startedAtMs: number;
  readonly traceparent: string | null;
  /** Aborts when nobody reads any more; what the push started goes on. */
  readonly unheard: AbortController;
  /** The hook calls it when the refs are changed: from here on the push is safe and may take its time. */
  readonly onReceived: () => void;
  /** The hook calls it when the deploy is stored, or there is none. */
  readonly onRecorded: () => void;
}

export class PushSessions {
  readonly #sessions = new Map<string, PushSession>();

  open(
    given: Pick<PushSession, "service" | "userId" | "startedAtMs" | "onReceived" | "onRecorded">,
  ): PushSession {
    const session: PushSession = {
      ...given,
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
