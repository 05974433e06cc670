/** The running proxy as the edge sees it: what it holds, host names and certificates, and the steps that change it. */
import type { Log } from "@berth/shared/kit/log.ts";
import type { CertificateSource, ObservedTls, TlsStep, WantedTls } from "../core/edge-tls.ts";
import type { ObservedImage, Step } from "../core/plan-steps.ts";
import { commandsOf, type MapFiles } from "../core/runtime-text.ts";
import { imageOf, imageQuestions } from "./proxy-process.ts";
import { RuntimeApiError, type RuntimeClient } from "./runtime-client.ts";
import { TlsHands, type TlsPaths } from "./tls-hands.ts";

export type ProxyStep = Step | TlsStep;

export interface ObservedProxy {
  readonly image: ObservedImage;
  readonly tls: ObservedTls;
}

const TLS_KINDS: ReadonlySet<ProxyStep["kind"]> = new Set<TlsStep["kind"]>([
  ...(["set-certificate", "remove-certificate", "set-option", "remove-option"] as const),
]);

export class EdgeProxy {
  readonly #client: RuntimeClient;
  readonly #files: MapFiles;
  readonly #tls: TlsHands;
  readonly #log: Log;

  constructor(given: { client: RuntimeClient; files: MapFiles & TlsPaths; log: Log }) {
    this.#client = given.client;
    this.#files = given.files;
    this.#tls = new TlsHands(given.client, given.files);
    this.#log = given.log;
  }

  /** All of it over one connection, so of one process; certificates that were not seen before over a second one. */
  async observe(pid: number): Promise<ObservedProxy> {
    const [ofImage, ofTls] = [imageQuestions(this.#files), this.#tls.questions];
    const answers = await this.#client.askAll([...ofImage, ...ofTls]);
    const tls = await this.#tls.observe(pid, answers.slice(ofImage.length));
    return { image: imageOf(answers.slice(0, ofImage.length)), tls };
  }

  /** Steps in order. A refused one ends the steps of its slot, which may rely on it, but no other tenant's. */
  async execute(steps: readonly ProxyStep[], wanted: WantedTls): Promise<void> {
    const failed = new Set<string>();
    for (const step of steps) {
      if ("slot" in step && failed.has(step.slot)) continue;
      try {
        if (isTls(step)) await this.#tls.run(step, certificateOf(step, wanted));
        else await this.#client.run(commandsOf(step, this.#files));
      } catch (error) {
        if (!(error instanceof RuntimeApiError) || error.code !== "refused") throw error;
        if ("slot" in step) failed.add(step.slot);
        this.#log.warn("edge.step-refused", { step, reason: error.message });
      }
    }
  }
}

function isTls(step: ProxyStep): step is TlsStep {
  return TLS_KINDS.has(step.kind);
}

function certificateOf(step: TlsStep, wanted: WantedTls): ReturnType<CertificateSource> | null {
  return step.kind === "set-certificate" ? (wanted.certificates.get(step.name) ?? null) : null;
}
