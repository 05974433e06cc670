/** All requests that are held on this host, by host name, and how many may be. */
import type { Socket } from "node:net";
import type { AgentLine } from "@berth/shared/contracts/activator.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { Gate } from "./gate.ts";
import { HeldRequest } from "./held-request.ts";

export interface Limits {
  readonly heldPerService: number;
  readonly heldInAll: number;
  readonly longestHoldMs: number;
}

interface Asking {
  ask(hostname: string): void;
  drop(hostname: string): void;
}

export class HeldRequests {
  readonly #limits: Limits;
  readonly #log: Log;
  readonly #gates = new Map<string, Gate>();
  #agent: Asking = { ask: () => {}, drop: () => {} };

  constructor(limits: Limits, log: Log) {
    this.#limits = limits;
    this.#log = log;
  }

  /** Whom to ask; requests that came before are asked for now. */
  useAgent(agent: Asking): void {
    this.#agent = agent;
    for (const hostname of this.#gates.keys()) agent.ask(hostname);
  }

  get size(): number {
    return [...this.#gates.values()].reduce((sum, gate) => sum + gate.size, 0);
  }

  readonly accept = (client: Socket): void => {
    // A head that never ends is bounded in time; this bounds how many there may be at once.
    new HeldRequest(client, (request, hostname) => this.#hold(request, hostname));
  };

  readonly tell = (line: AgentLine): void => this.#gates.get(line.hostname)?.tell(line);

  #hold(request: HeldRequest, hostname: string): void {
    const { heldPerService, heldInAll } = this.#limits;
    const gate = this.#gates.get(hostname);
    const held = gate?.size ?? 0;
    if (held >= heldPerService || this.size >= heldInAll) {
      this.#log.warn("request.refused", { hostname, held, heldPerService, heldInAll });
      request.refuse("busy");
    } else if (gate === undefined) this.#open(hostname).hold(request);
    else gate.hold(request);
  }

  #open(hostname: string): Gate {
    const gate: Gate = new Gate(
      this.#limits.longestHoldMs,
      () => {
        this.#gates.delete(hostname);
        this.#agent.drop(hostname);
      },
      (times) => this.#log.info("gate.opened", { hostname, ...times, waiting: gate.size }),
    );
    this.#gates.set(hostname, gate);
    this.#agent.ask(hostname);
    return gate;
  }
}
