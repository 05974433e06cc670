/** What environments' proxies ask of the host's engine that jobs do not. */
import type { Readable } from "node:stream";
import Docker from "dockerode";
import { LABELS } from "../proxies/core/proxy-container.ts";
import { callEngine, EngineError } from "./engine-call.ts";
import { followPull } from "./pull-progress.ts";

const CALL_MS = 10_000;
const IMPORT_STALL_MS = 30_000;

export interface ListedProxy {
  readonly containerId: string;
  readonly environmentId: string;
  readonly instance: string;
  readonly form: string;
  readonly address: string;
  readonly isRunning: boolean;
}

export class ProxyEngine {
  readonly #docker: Docker;
  readonly #podId: string;

  constructor(socketPath: string, podId: string) {
    this.#docker = new Docker({ socketPath });
    this.#podId = podId;
  }

  /** Every proxy of this pod, oldest first. */
  async list(): Promise<ListedProxy[]> {
    const filters = { label: [`${LABELS.pod}=${this.#podId}`] };
    const found = await callEngine("list proxies", CALL_MS, (abortSignal) =>
      this.#docker.listContainers({ all: true, filters, abortSignal }),
    );
    return found
      .toSorted((a, b) => a.Created - b.Created)
      .map(({ Id: containerId, Labels: labels, State: state }) => ({
        containerId,
        environmentId: labels[LABELS.environment] ?? "",
        instance: labels[LABELS.instance] ?? "",
        form: labels[LABELS.form] ?? "",
        address: labels[LABELS.address] ?? "",
        isRunning: state === "running",
      }));
  }

  async hasImage(reference: string): Promise<boolean> {
    try {
      await callEngine("image inspect", CALL_MS, () => this.#docker.getImage(reference).inspect());
      return true;
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return false;
      throw error;
    }
  }

  async importImage(tar: Readable, repo: string, tag: string): Promise<void> {
    const progress = await callEngine("image import", IMPORT_STALL_MS, () =>
      this.#docker.importImage(tar, { repo, tag }),
    );
    await followPull(progress, IMPORT_STALL_MS);
  }

  /** The process in front reads its files again. */
  async reload(containerId: string): Promise<void> {
    await callEngine("reload a proxy", CALL_MS, (abortSignal) =>
      this.#docker.getContainer(containerId).kill({ signal: "SIGUSR2", abortSignal }),
    );
  }
}
