/**
 * Keeps the stack image in the registry's own repository for it, and its layers ready in each service's repository.
 * Everything here only makes pushes quick: a failure is logged and the push goes on without.
 */
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { BuildEngine } from "./engine.ts";
import { mountStackLayer, type RegistryGiven, readStackLayers, STACK_REPOSITORY } from "./registry.ts";

export interface StackLayerGiven {
  readonly engine: BuildEngine;
  /** `host:port`, as the engine names it, and the same as a URL. */
  readonly registry: string;
  readonly registryUrl: string;
  readonly stackImage: string;
  readonly log: Log;
  readonly mintStackToken: (signal: AbortSignal) => Promise<string>;
}

const STACK_PUSH_TIMEOUT_MS = 10 * 60_000;
const PREPARED_COUNT = 10_000;

export class StackLayer {
  readonly #given: StackLayerGiven;
  #layers: readonly string[] = [];
  /** Repositories that have the layers: asking the registry again would cost every later push a round trip. */
  readonly #prepared = new Set<string>();
  #storing: Promise<boolean> | undefined;

  constructor(given: StackLayerGiven) {
    this.#given = given;
  }

  /** Pushes the stack where it is missing. @returns whether it is there now; call it again when not */
  async ensureStored(): Promise<boolean> {
    if (this.#layers.length > 0) return true;
    // One at a time: the first build of a new machine waits for the push that is under way.
    this.#storing ??= this.#store().finally(() => {
      this.#storing = undefined;
    });
    return await this.#storing;
  }

  async #store(): Promise<boolean> {
    const { engine, registry, registryUrl, stackImage, mintStackToken } = this.#given;
    const imageId = await engine.imageId(stackImage);
    if (imageId === null) return false;
    const tag = imageId.replace(/^sha256:/, "").slice(0, 40);
    const signal = AbortSignal.timeout(STACK_PUSH_TIMEOUT_MS);
    const token = await mintStackToken(signal);
    const stored = await readStackLayers({ registryUrl, token, signal }, tag);
    if (stored.length === 0) {
      const reference = `${registry}/${STACK_REPOSITORY}:${tag}`;
      await engine.tagImage(stackImage, reference);
      await engine
        .push(reference, token, signal, () => undefined)
        .finally(() => engine.untagImage(reference));
    }
    this.#layers = stored.length > 0 ? stored : await readStackLayers({ registryUrl, token, signal }, tag);
    return this.#layers.length > 0;
  }

  /** Mounts the stack's layers into a service's repository, so that its push need not send them. */
  async prepare(repository: string, token: string, signal: AbortSignal): Promise<void> {
    const { registryUrl, log } = this.#given;
    if (this.#prepared.has(repository)) return;
    try {
      await this.ensureStored();
      const mounted = await this.#mountAll({ registryUrl, token, signal }, repository);
      if (this.#prepared.size >= PREPARED_COUNT) this.#prepared.clear();
      if (mounted) this.#prepared.add(repository);
    } catch (error) {
      log.warn("stack.not-mounted", { repository, error: describeError(error) });
    }
  }

  async #mountAll(given: RegistryGiven, repository: string): Promise<boolean> {
    let all = this.#layers.length > 0;
    for (const digest of this.#layers) all = (await mountStackLayer(given, repository, digest)) && all;
    return all;
  }
}
