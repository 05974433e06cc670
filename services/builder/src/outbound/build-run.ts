/** What the steps of one build share: the order, the limits, the way out for output, and the result. */

import type { Readable } from "node:stream";
import type { BuildKind } from "@berth/shared/contracts/build.ts";
import type { AppConfig } from "@berth/shared/domain/app-config.ts";
import type { BuildFailure } from "../core/build-failure.ts";
import { BuildStopped } from "../core/build-stopped.ts";
import type { Processes } from "../core/choose-processes.ts";
import type { BuildSettings } from "../core/detect-kind.ts";
import { BuildOutput } from "./build-output.ts";
import type { Buildkit } from "./buildkit.ts";
import type { BuildEngine } from "./engine.ts";

export interface BuildOrder {
  readonly buildId: string;
  readonly serviceId: string;
  readonly commit: string;
  /** `<orgId>/<serviceId>` in the registry. */
  readonly repository: string;
  readonly settings: BuildSettings;
  readonly openBundle: () => Promise<Readable>;
  readonly signal: AbortSignal;
  readonly onLines: (lines: readonly string[]) => void;
  /** The platform speaking, between the build's own lines. */
  readonly onStep: (text: string) => void;
  readonly onStage: (stage: BuildStage) => void;
}

export type BuildStage = "fetched" | "built" | "pushed";

export interface RunBuildGiven {
  readonly engine: BuildEngine;
  readonly buildkit: Buildkit;
  readonly builderId: string;
  readonly workDir: string;
  readonly registry: string;
  readonly stackImage: string;
  readonly limits: BuildLimits;
  readonly extraCaFile: string | null;
  readonly npmRegistry: string | null;
  /** A URL, or `none`: pip then uses only what the repository brings. */
  readonly pypiIndex: string | null;
  /** Makes a push quick; may do nothing. */
  readonly prepareRepository: (repository: string, token: string, signal: AbortSignal) => Promise<void>;
  readonly mintPushToken: (buildId: string, repository: string) => Promise<string>;
}

export interface BuildLimits {
  readonly timeoutMs: number;
  readonly memoryBytes: number;
  readonly sourceBytes: number;
  readonly sourceEntries: number;
  readonly lineBytes: number;
  readonly outputBytes: number;
  readonly cacheBytes: number;
}

export interface BuiltImage {
  readonly kind: BuildKind;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly processes: Readonly<Record<string, string>>;
  /** What the repository says of how the app wants to run; null when it says nothing. */
  readonly config: AppConfig | null;
  readonly port: number;
  readonly rootFilesystem: "read-only" | "writable";
  readonly runsAsRoot: boolean;
}

export type BuildResult =
  | { readonly outcome: "built"; readonly image: BuiltImage }
  | { readonly outcome: "failed"; readonly failure: BuildFailure; readonly cause?: unknown };

export type LocalImage = Omit<BuiltImage, "digest" | "config">;

/** What the steps of one build share. */
export interface Run {
  readonly given: RunBuildGiven;
  readonly order: BuildOrder;
  readonly dir: string;
  readonly reference: string;
  readonly signal: AbortSignal;
  readonly stop: (failure: BuildFailure) => void;
}

export function newOutput(run: Run, show?: (line: string) => string | null): BuildOutput {
  const { lineBytes, outputBytes } = run.given.limits;
  return new BuildOutput({
    limits: { maxLineBytes: lineBytes, maxTotalBytes: outputBytes },
    onLines: run.order.onLines,
    stop: run.stop,
    ...(show === undefined ? {} : { show }),
  });
}

export function appLabels(order: BuildOrder): Record<string, string> {
  return { "berth.service": order.serviceId, "berth.commit": order.commit };
}

export function takeProcesses(chosen: Processes): Readonly<Record<string, string>> {
  if (chosen.kind === "refused") throw new BuildStopped(chosen.failure);
  return chosen.processes;
}
