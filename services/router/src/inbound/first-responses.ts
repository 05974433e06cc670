/**
 * Asks the URLs of deploys whose tables every edge acknowledged, once each, and keeps what they answered.
 * One slow app holds up no other deploy: a run starts the requests and does not wait for them.
 */
import { DeployProgressed } from "@berth/shared/contracts/deploy.ts";
import type { DeployId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { recordSpan } from "@berth/shared/kit/telemetry.ts";
import type { Kysely } from "kysely";
import { askEdge } from "../outbound/edge-probe.ts";
import { type AwaitedResponse, readAwaited, storeFirstResponse } from "../outbound/first-response-store.ts";
import type { RouterTables } from "../outbound/tables.ts";

export interface FirstResponsesGiven {
  readonly db: Kysely<RouterTables>;
  readonly bus: Bus;
  readonly log: Log;
  readonly clock: Clock;
  readonly podDomain: string;
  readonly edgePort: number;
  readonly timeoutMs: number;
  /** Called when an answer was stored. */
  readonly stored: () => void;
}

const IN_FLIGHT_LIMIT = 50;

export class FirstResponses {
  readonly #given: FirstResponsesGiven;
  readonly #inFlight = new Set<DeployId>();

  constructor(given: FirstResponsesGiven) {
    this.#given = given;
  }

  readonly run = async (): Promise<void> => {
    for (const awaited of await readAwaited(this.#given.db)) {
      if (this.#inFlight.has(awaited.deployId) || this.#inFlight.size >= IN_FLIGHT_LIMIT) continue;
      this.#inFlight.add(awaited.deployId);
      void this.#ask(awaited).finally(() => this.#inFlight.delete(awaited.deployId));
    }
  };

  /** Never throws: an answer that could not be stored is asked for again. */
  async #ask(awaited: AwaitedResponse): Promise<void> {
    const { db, log, clock, podDomain, edgePort: port, timeoutMs, stored } = this.#given;
    const { traceparent, nodeAddress: address, deployId, serviceId } = awaited;
    const hostname = `${awaited.hostnameLabel}.${podDomain}`.toLowerCase();
    try {
      const startedAtMs = clock.nowMs();
      const status = await askEdge({ address, port, hostname, timeoutMs, traceparent });
      const answer = { status, startedAtMs, endedAtMs: clock.nowMs() };
      if (!(await storeFirstResponse(db, awaited, hostname, answer))) return;
      stored();
      this.#tell(awaited, hostname, answer);
      log.info("routes.first-response", { deployId, serviceId, hostname, ...answer });
    } catch (error) {
      log.warn("routes.first-response-not-stored", { deployId, error: describeError(error) });
    }
  }

  #tell(
    awaited: AwaitedResponse,
    hostname: string,
    answer: { status: number; startedAtMs: number; endedAtMs: number },
  ): void {
    const { deployId, traceparent: parent } = awaited;
    const { status, startedAtMs, endedAtMs } = answer;
    const attributes = {
      "http.response.status_code": status,
      "server.address": hostname,
      "berth.deploy": deployId,
    };
    recordSpan({ name: "first-response", parent, startedAtMs, endedAtMs, attributes, failed: status === 0 });
    const ms = Math.round(endedAtMs - startedAtMs);
    const text = status === 0 ? `no answer in ${ms} ms` : `HTTP ${status} in ${ms} ms`;
    const lines = [`first request to ${hostname}: ${text}`];
    this.#given.bus.signal(DeployProgressed, { deployId, kind: "step", lines, atMs: endedAtMs });
  }
}
