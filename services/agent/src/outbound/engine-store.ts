/** What the host's engine stores: images with their layers, and scratch volumes. For the removal of garbage. */
import { createHash } from "node:crypto";
import Docker from "dockerode";
import type { VolumeFacts } from "../core/plan-garbage.ts";
import { callEngine, EngineError } from "./engine-call.ts";

const CALL_MS = 10_000;
const REMOVE_MS = 60_000;

export interface StoredImage {
  readonly id: string;
  readonly names: readonly string[];
  readonly sizeBytes: number;
}

export interface Layer {
  readonly chain: string;
  readonly bytes: number;
}

export class EngineStore {
  readonly #docker: Docker;
  readonly #podId: string;

  constructor(socketPath: string, podId: string) {
    this.#docker = new Docker({ socketPath });
    this.#podId = podId;
  }

  async images(): Promise<StoredImage[]> {
    const found = await callEngine("images", CALL_MS, () => this.#docker.listImages());
    return found.map((image) => ({
      id: image.Id,
      names: [...(image.RepoTags ?? []), ...(image.RepoDigests ?? [])].filter(
        (name) => !name.includes("<none>"),
      ),
      sizeBytes: image.Size,
    }));
  }

  /** Ids of the images of every container, whoever's and in any state; and the volumes that they mount. */
  async used(): Promise<{ readonly images: ReadonlySet<string>; readonly volumes: ReadonlySet<string> }> {
    const found = await callEngine("list", CALL_MS, (abortSignal) =>
      this.#docker.listContainers({ all: true, abortSignal }),
    );
    const volumes = found.flatMap(({ Mounts: mounts }) => mounts.map((mount) => mount.Name ?? ""));
    return { images: new Set(found.map(({ ImageID: id }) => id)), volumes: new Set(volumes) };
  }

  /** @returns null when the image is gone, or when its history does not tell which layer has which size */
  async layers(id: string): Promise<readonly Layer[] | null> {
    const image = this.#docker.getImage(id);
    try {
      const { RootFS: rootFs } = await callEngine("image inspect", CALL_MS, () => image.inspect());
      const history = (await callEngine("image history", CALL_MS, () => image.history())) as unknown;
      return matchLayers(rootFs?.Layers ?? [], history as readonly { Size: number }[]);
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return null;
      throw error;
    }
  }

  async nameImage(reference: string, repository: string, tag: string): Promise<void> {
    await callEngine("image tag", CALL_MS, () =>
      this.#docker.getImage(reference).tag({ repo: repository, tag }),
    );
  }

  /** Takes one name away; the image goes with its last one. @returns false when a container has it */
  async removeImageName(name: string): Promise<boolean> {
    return removed(() =>
      callEngine(`image remove ${name}`, REMOVE_MS, () => this.#docker.getImage(name).remove()),
    );
  }

  async scratchVolumes(): Promise<Omit<VolumeFacts, "hasContainer">[]> {
    const filters = { label: ["berth.volume=scratch", `berth.pod=${this.#podId}`] };
    const found = await callEngine("volumes", CALL_MS, () => this.#docker.listVolumes({ filters }));
    return (found.Volumes ?? []).map((volume) => {
      const createdAt = (volume as { readonly CreatedAt?: string }).CreatedAt;
      const createdAtMs = Date.parse(createdAt ?? "");
      // One without a date is as if made just now: it stays.
      return { name: volume.Name, createdAtMs: Number.isNaN(createdAtMs) ? Date.now() : createdAtMs };
    });
  }

  /** @returns false when a container has it */
  async removeVolume(name: string): Promise<boolean> {
    return removed(() =>
      callEngine(`volume remove ${name}`, CALL_MS, () => this.#docker.getVolume(name).remove()),
    );
  }
}

async function removed(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof EngineError) || (error.status !== 404 && error.status !== 409)) throw error;
    return error.status === 404;
  }
}

/**
 * The history tells sizes, newest first, with zeros for steps that made no layer; the image tells the layers, oldest
 * first. A layer is stored once per chain: it and all below it.
 */
function matchLayers(
  digests: readonly string[],
  history: readonly { Size: number }[],
): readonly Layer[] | null {
  const sizes = history
    .map(({ Size: size }) => size)
    .filter((size) => size > 0)
    .reverse();
  if (sizes.length !== digests.length) return null;
  let chain = "";
  return digests.map((digest, at) => {
    chain = createHash("sha256").update(`${chain} ${digest}`).digest("hex");
    return { chain, bytes: sizes[at] ?? 0 };
  });
}
