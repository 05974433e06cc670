/** The host's activator on its socket: says where it listens, asks for host names, is told what changes. */
import { chmod, chown, mkdir, rm, stat } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import {
  ACTIVATOR_LINE_BYTES,
  ActivatorLine,
  type AgentLine,
  type Door,
  type DoorsLine,
  doorKey,
} from "@berth/shared/contracts/activator.ts";
import type { Log } from "@berth/shared/kit/log.ts";

const MOST_ASKED = 20_000;
/** Heals what no change told of. */
const LOOK_MS = 500;

export interface DeskGiven {
  readonly socketPath: string;
  readonly log: Log;
  readonly listens: (port: number) => void;
  /** Somebody waits for the host name: whatever wakes its service is done by this. */
  readonly wake: (door: Door) => void;
  readonly tell: (door: Door) => AgentLine;
  /** Environments that have a door. */
  readonly doors: () => DoorsLine["environmentIds"];
}

/** Who waits, and what was told last. */
type Asked = Map<string, { readonly door: Door; told: string }>;

export class ActivatorDesk {
  readonly #given: DeskGiven;
  readonly #asked = new Map<Socket, Asked>();
  readonly #toldDoors = new WeakMap<Socket, string>();
  #server: Server | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(given: DeskGiven) {
    this.#given = given;
  }

  async open(): Promise<void> {
    const { socketPath } = this.#given;
    await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 });
    await rm(socketPath, { force: true });
    const server = createServer((socket) => this.#serve(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(socketPath, resolve);
    });
    await openToActivator(socketPath);
    this.#server = server;
    this.#timer = setInterval(() => this.changed(), LOOK_MS);
  }

  /** Something that the answers are made from may have changed. */
  readonly changed = (): void => {
    for (const [socket, asked] of this.#asked) {
      this.#tellDoors(socket);
      for (const [key, { door }] of asked) {
        this.#given.wake(door);
        this.#tell(socket, asked, key);
      }
    }
  };

  #tellDoors(socket: Socket): void {
    const line: DoorsLine = { say: "doors", environmentIds: this.#given.doors() };
    const text = JSON.stringify(line);
    if (this.#toldDoors.get(socket) === text) return;
    this.#toldDoors.set(socket, text);
    socket.write(`${text}\n`);
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const socket of this.#asked.keys()) socket.destroy();
    this.#server?.close();
  }

  #serve(socket: Socket): void {
    const asked: Asked = new Map();
    this.#asked.set(socket, asked);
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#asked.delete(socket));
    socket.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > ACTIVATOR_LINE_BYTES) socket.destroy();
      for (const line of lines) this.#take(socket, asked, line);
    });
  }

  #take(socket: Socket, asked: Asked, text: string): void {
    const parsed = ActivatorLine.safeParse(parseJson(text));
    if (!parsed.success) {
      this.#given.log.error("activator.line-refused", { issues: parsed.error.issues.slice(0, 3) });
      return;
    }
    const line = parsed.data;
    if (line.say === "hello") {
      this.#given.listens(line.port);
      this.#tellDoors(socket);
      return;
    }
    const { say, ...door } = line;
    const key = doorKey(door);
    if (say === "drop") asked.delete(key);
    else if (asked.size < MOST_ASKED) {
      asked.set(key, { door, told: "" });
      this.#given.wake(door);
      this.#tell(socket, asked, key);
    }
  }

  #tell(socket: Socket, asked: Asked, key: string): void {
    const one = asked.get(key);
    if (one === undefined) return;
    const line = JSON.stringify(this.#given.tell(one.door));
    if (one.told === line) return;
    one.told = line;
    socket.write(`${line}\n`);
  }
}

/** Root's and, where the folder has a group, that group's: the activator's user is in it. */
async function openToActivator(socketPath: string): Promise<void> {
  const { gid } = await stat(dirname(socketPath));
  await chown(socketPath, process.getuid?.() ?? 0, gid);
  await chmod(socketPath, gid === 0 ? 0o600 : 0o660);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
