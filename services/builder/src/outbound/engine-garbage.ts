/** What builds leave on their engine: layers of Dockerfile builds, and images that lost their names. */
import { statfs } from "node:fs/promises";
import Docker from "dockerode";
import type { Disk } from "../core/plan-build-garbage.ts";
import { deadline } from "./engine-calls.ts";

export class EngineGarbage {
  readonly #docker: Docker;
  readonly #builderId: string;

  constructor(given: { socketPath: string; builderId: string }) {
    this.#docker = new Docker({ socketPath: given.socketPath });
    this.#builderId = given.builderId;
  }

  /** @returns null when the engine's folder is not on a disk that this process sees */
  async disk(): Promise<Disk | null> {
    const info = (await deadline(this.#docker.info(), "asking for its folder")) as { DockerRootDir: string };
    const seen = await statfs(info.DockerRootDir).catch(() => null);
    return seen && { totalBytes: seen.blocks * seen.bsize, freeBytes: seen.bavail * seen.bsize };
  }

  /**
   * Removes layers of Dockerfile builds that no build uses now: those unused for `keptMs`, and then the least
   * recently used ones beyond `keptBytes`.
   * @returns the bytes that were freed
   */
  async pruneLayers(keptMs: number, keptBytes: number): Promise<number> {
    const old = await this.#prune({ filters: { until: [`${Math.ceil(keptMs / 1000)}s`] } });
    return old + (await this.#prune({ "keep-storage": keptBytes }));
  }

  /** dockerode's own method sends no parameters. */
  async #prune(parameters: { filters?: object; "keep-storage"?: number }): Promise<number> {
    const options = {
      path: "/build/prune?",
      method: "POST",
      options: { all: true, ...parameters },
      statusCodes: { 200: true, 500: "server error" },
    };
    const answer = new Promise<{ SpaceReclaimed?: number }>((resolve, reject) => {
      this.#docker.modem.dial(options, (error: unknown, data: unknown) => {
        if (error) reject(error);
        else resolve(data as { SpaceReclaimed?: number });
      });
    });
    return (await deadline(answer, "removing layers of builds")).SpaceReclaimed ?? 0;
  }

  /** Images of this builder that have no name any more and no container. @returns the bytes that were freed */
  async pruneNameless(keptMs: number): Promise<number> {
    const until = [`${Math.ceil(keptMs / 1000)}s`];
    const filters = { dangling: ["true"], label: [`berth.builder=${this.#builderId}`], until };
    const answer = await deadline(this.#docker.pruneImages({ filters }), "removing images without a name");
    return answer.SpaceReclaimed ?? 0;
  }
}
