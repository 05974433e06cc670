/** The builder: turns pushed commits into images. Wiring only. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { SourcePushed } from "@berth/shared/contracts/push.ts";
import { DeployCancelRequested, ImageRequested } from "@berth/shared/contracts/release.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { openObjectStore } from "@berth/shared/kit/object-store.ts";
import { createOutboxRelay } from "@berth/shared/kit/outbox.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { BuilderConfig } from "./config.ts";
import { BuildLoop } from "./inbound/build-loop.ts";
import { onSourcePushed } from "./inbound/source-pushed.ts";
import { readBuilderId } from "./outbound/builder-id.ts";
import { Buildkit } from "./outbound/buildkit.ts";
import { BuildEngine } from "./outbound/engine.ts";
import { EngineGarbage } from "./outbound/engine-garbage.ts";
import { executeBuild } from "./outbound/execute-build.ts";
import { mintPushToken } from "./outbound/push-tokens.ts";
import { servicesWithBuildsSince } from "./outbound/queue-store.ts";
import { STACK_REPOSITORY } from "./outbound/registry.ts";
import { StackLayer } from "./outbound/stack-layer.ts";
import { sweepLeftovers } from "./outbound/sweep-leftovers.ts";
import type { Tables } from "./outbound/tables.ts";

const LINE_BYTES = 16_000;
const STACK_EVERY_MS = 5000;
const SWEEP_EVERY_MS = 600_000;

await runService("builder", BuilderConfig, async ({ config, log, scope }) => {
  // Outbound.
  const builderId = await readBuilderId(config.stateDir);
  const workDir = join(config.stateDir, "work");
  await rm(workDir, { recursive: true, force: true });
  await mkdir(workDir, { recursive: true, mode: 0o700 });
  const limits = { memoryBytes: config.memoryBytes, cpus: config.cpus, pids: config.pidsCount };
  const socketPath = config.dockerSocket;
  const engine = new BuildEngine({
    socketPath,
    builderId,
    limits: { ...limits, maxAppBytes: config.appBytes },
  });
  const garbage = new EngineGarbage({ socketPath, builderId });
  const engineMajor = Number.parseInt(await engine.version(), 10);
  const left = await engine.sweep();
  log.info("engine.ready", { engineMajor, builderId, ...left });
  const buildkit = new Buildkit({
    socketPath,
    engineMajor,
    sharedCgroup: config.cgroup,
    limits,
    onUnlimited: (group) => log.warn("buildkit.unlimited", { group, setting: "BERTH_BUILD_CGROUP" }),
  });
  const objects = await openObjectStore(config.objectStore);
  const { db } = scope.use(connectDatabase<Tables>({ url: config.databaseUrl, schema: "builder", log }));
  const bus = scope.use(
    connectBus({
      service: "builder",
      url: config.natsUrl,
      credsFile: config.natsCredsFile,
      caFile: config.natsCaFile,
      log,
    }),
  );
  const outbox = scope.use(createOutboxRelay({ db, bus, log }));

  const stack = new StackLayer({
    engine,
    registry: config.registry,
    registryUrl: `https://${config.registry}`,
    stackImage: config.stackImage,
    log,
    mintStackToken: (signal) => mintPushToken(bus, newId("build"), STACK_REPOSITORY, signal),
  });
  scope.use(
    new Reconciler({
      name: "stack",
      everyMs: STACK_EVERY_MS,
      retryMs: STACK_EVERY_MS,
      log,
      run: async () => void (await stack.ensureStored()),
    }),
  );

  // The one loop that builds.
  const build = {
    prepareRepository: (repository: string, token: string, signal: AbortSignal) =>
      stack.prepare(repository, token, signal),
    engine,
    buildkit,
    builderId,
    workDir,
    registry: config.registry,
    stackImage: config.stackImage,
    limits: {
      timeoutMs: config.timeoutMs,
      memoryBytes: config.memoryBytes,
      sourceBytes: config.sourceBytes,
      sourceEntries: config.sourceEntriesCount,
      lineBytes: LINE_BYTES,
      outputBytes: config.outputBytes,
      cacheBytes: config.cacheBytes,
    },
    extraCaFile: config.extraCaFile,
    npmRegistry: config.npmRegistry,
    pypiIndex: config.pypiIndex,
  };
  const { concurrency, leaseMs, pollMs } = config;
  const image = {
    registry: config.registry,
    registryUrl: `https://${config.registry}`,
    ownRegistries: config.imageRegistries,
    limits: { imageBytes: config.imageBytes, timeoutMs: config.timeoutMs },
  };
  const given = { db, bus, log, objects, leaseMs, build, image, onFinished: outbox.wake };
  const loop = scope.use(
    new BuildLoop({
      ...{ db, log, builderId, concurrency, leaseMs, pollMs },
      execute: (claim, shutdown) => executeBuild(given, claim, shutdown),
      onChange: () => outbox.wake(),
    }),
  );
  scope.use(
    new Reconciler({
      name: "leftovers",
      everyMs: SWEEP_EVERY_MS,
      log,
      run: () =>
        sweepLeftovers({
          engine,
          garbage,
          log,
          limits: {
            layersKeptMs: config.layersKeptHours * 3_600_000,
            layersBytes: config.layersBytes,
            pressurePercent: config.pressurePercent,
          },
          buildTimeoutMs: config.timeoutMs,
          servicesBuiltSince: (sinceMs) => servicesWithBuildsSince(db, sinceMs),
        }),
    }),
  );

  // Inbound.
  scope.use(bus.consume(SourcePushed, {}, onSourcePushed({ db, wake: loop.wake })));
  scope.use(bus.consume(ImageRequested, {}, async () => loop.wake()));
  scope.use(bus.consume(DeployCancelRequested, {}, async () => loop.wake()));
});
