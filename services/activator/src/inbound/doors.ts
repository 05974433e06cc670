/**
 * A socket of its own for each environment that has proxies on this host: a proxy is in a container and reaches nothing of the
 * host but that. What comes in through a door is for that environment's host names alone.
 */
import { chmod, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { DOOR_SOCKET } from "@berth/shared/contracts/activator.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { HeldRequests } from "./held-requests.ts";

const BACKLOG = 1024;

export interface DoorsGiven {
  /** The doors' folder; the agent makes the folders in it. */
  readonly dir: string;
  readonly held: Pick<HeldRequests, "acceptFrom">;
  /** Of one door: one environment's requests leave room for the others'. */
  readonly mostConnections: number;
  readonly log: Log;
}

export class Doors {
  readonly #given: DoorsGiven;
  readonly #open = new Map<EnvironmentId, Server>();
  #running: Promise<void> = Promise.resolve();

  constructor(given: DoorsGiven) {
    this.#given = given;
  }

  /** These and no others. */
  readonly keep = (environmentIds: readonly EnvironmentId[]): Promise<void> => {
    this.#running = this.#running.then(() => this.#keep(new Set(environmentIds)));
    return this.#running;
  };

  close(): void {
    for (const server of this.#open.values()) server.close();
  }

  async #keep(wanted: ReadonlySet<EnvironmentId>): Promise<void> {
    for (const [id, server] of this.#open) {
      if (wanted.has(id)) continue;
      server.close();
      this.#open.delete(id);
    }
    for (const id of wanted) {
      if (this.#open.has(id)) continue;
      await this.#listen(id).catch((error: unknown) =>
        this.#given.log.error("door.not-opened", { environmentId: id, error: describeError(error) }),
      );
    }
  }

  async #listen(environmentId: EnvironmentId): Promise<void> {
    const { dir, held, mostConnections } = this.#given;
    const path = join(dir, environmentId, DOOR_SOCKET);
    await rm(path, { force: true });
    const server = createServer({ allowHalfOpen: true, noDelay: true }, held.acceptFrom(environmentId));
    server.maxConnections = mostConnections;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path, backlog: BACKLOG }, resolve);
    });
    this.#open.set(environmentId, server);
    // The proxy is another user; nobody else sees the folder.
    await chmod(path, 0o666);
  }
}
