/** All requests that are held on this host, by host name and by where they came in, and how many may be. */
import type { Socket } from "node:net";
import { type AgentLine, type Door, doorKey } from "@berth/shared/contracts/activator.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { Gate } from "./gate.ts";
import { HeldRequest } from "./held-request.ts";

export interface Limits {
  readonly heldPerService: number;
  readonly heldInAll: number;
  readonly longestHoldMs: number;
}

interface Asking {
  ask(door: Door): void;
  drop(door: Door): void;
}

export class HeldRequests {
  readonly #limits: Limits;
  readonly #log: Log;
  readonly #gates = new Map<string, { readonly door: Door; readonly gate: Gate }>();
  #agent: Asking = { ask: () => {}, drop: () => {} };

  constructor(limits: Limits, log: Log) {
    this.#limits = limits;
    this.#log = log;
  }

  /** Whom to ask; requests that came before are asked for now. */
  useAgent(agent: Asking): void {
    this.#agent = agent;
    for (const { door } of this.#gates.values()) agent.ask(door);
  }

  get size(): number {
    return [...this.#gates.values()].reduce((sum, { gate }) => sum + gate.size, 0);
  }

  /** From the host's edge. */
  readonly accept = (client: Socket): void => this.#accept(client, {});

  /** From a proxy of the environment. */
  acceptFrom(environmentId: EnvironmentId): (client: Socket) => void {
    return (client) => this.#accept(client, { environmentId });
  }

  readonly tell = (line: AgentLine): void => this.#gates.get(doorKey(line))?.gate.tell(line);

  #accept(client: Socket, from: Pick<Door, "environmentId">): void {
    // A head that never ends is bounded in time; this bounds how many there may be at once.
    new HeldRequest(client, (request, hostname) => this.#hold(request, { hostname, ...from }));
  }

  #hold(request: HeldRequest, door: Door): void {
    const { heldPerService, heldInAll } = this.#limits;
    const gate = this.#gates.get(doorKey(door))?.gate;
    const held = gate?.size ?? 0;
    if (held >= heldPerService || this.size >= heldInAll) {
      this.#log.warn("request.refused", { ...door, held, heldPerService, heldInAll });
      request.refuse("busy");
    } else if (gate === undefined) this.#open(door).hold(request);
    else gate.hold(request);
  }

  #open(door: Door): Gate {
    const gate: Gate = new Gate(
      this.#limits.longestHoldMs,
      () => {
        this.#gates.delete(doorKey(door));
        this.#agent.drop(door);
      },
      (times) => this.#log.info("gate.opened", { ...door, ...times, waiting: gate.size }),
    );
    this.#gates.set(doorKey(door), { door, gate });
    this.#agent.ask(door);
    return gate;
  }
}
