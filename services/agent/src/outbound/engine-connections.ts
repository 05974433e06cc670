/** Connections to the engine that are kept open. */
import { Agent } from "node:http";
import { inspect } from "node:util";

export class EngineConnections extends Agent {
  constructor() {
    super({ keepAlive: true });
  }

  /**
   * The Docker client makes a text of every request's options, in full depth, whether somebody reads it or not: with all
   * sockets and requests in it that took half of the agent's time.
   */
  [inspect.custom](): string {
    return "EngineConnections";
  }
}
