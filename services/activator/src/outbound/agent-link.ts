/** The way to the host's agent: opened again for ever, with all that is still asked said again. */
import { connect, type Socket } from "node:net";
import {
  ACTIVATOR_LINE_BYTES,
  type ActivatorLine,
  AgentLine,
  type Door,
  DoorsLine,
  doorKey,
} from "@berth/shared/contracts/activator.ts";
import type { Log } from "@berth/shared/kit/log.ts";

const AGAIN_MS = 100;

export interface AgentLinkGiven {
  readonly socketPath: string;
  readonly port: number;
  readonly log: Log;
  readonly told: (line: AgentLine) => void;
  readonly doors: (environmentIds: DoorsLine["environmentIds"]) => void;
}

export class AgentLink {
  readonly #given: AgentLinkGiven;
  readonly #asked = new Map<string, Door>();
  #socket: Socket | null = null;
  #closed = false;

  constructor(given: AgentLinkGiven) {
    this.#given = given;
    this.#open();
  }

  ask(door: Door): void {
    this.#asked.set(doorKey(door), door);
    this.#say({ say: "ask", ...door });
  }

  drop(door: Door): void {
    this.#asked.delete(doorKey(door));
    this.#say({ say: "drop", ...door });
  }

  close(): void {
    this.#closed = true;
    this.#socket?.destroy();
  }

  #say(line: ActivatorLine): void {
    if (this.#socket?.readyState === "open") this.#socket.write(`${JSON.stringify(line)}\n`);
  }

  #open(): void {
    if (this.#closed) return;
    const socket = connect(this.#given.socketPath);
    this.#socket = socket;
    let rest = "";
    socket.setEncoding("utf8");
    socket.once("connect", () => {
      this.#say({ say: "hello", port: this.#given.port });
      for (const door of this.#asked.values()) this.#say({ say: "ask", ...door });
    });
    socket.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > ACTIVATOR_LINE_BYTES) return socket.destroy();
      for (const line of lines) this.#take(line);
      return undefined;
    });
    socket.on("error", () => socket.destroy());
    socket.once("close", () => setTimeout(() => this.#open(), AGAIN_MS).unref());
  }

  #take(line: string): void {
    const said = parseJson(line);
    const doors = DoorsLine.safeParse(said);
    const parsed = AgentLine.safeParse(said);
    if (doors.success) this.#given.doors(doors.data.environmentIds);
    else if (parsed.success) this.#given.told(parsed.data);
    else this.#given.log.error("agent.line-refused", { issues: parsed.error.issues.slice(0, 3) });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
