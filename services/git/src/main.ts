/** The git service: takes pushes, stores deploys, shows them to their pushers. Wiring only. */
import { mkdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { BuildFailed } from "@berth/shared/contracts/build.ts";
import { DeployFinished } from "@berth/shared/contracts/deploy.ts";
import { FirstResponse } from "@berth/shared/contracts/route.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { openObjectStore } from "@berth/shared/kit/object-store.ts";
import { createOutboxRelay } from "@berth/shared/kit/outbox.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { GitConfig } from "./config.ts";
import { Followers } from "./inbound/followers.ts";
import { serveGit } from "./inbound/git-server.ts";
import { serveHooks } from "./inbound/hook-socket.ts";
import { TreeMemory } from "./inbound/pre-receive.ts";
import { PushSessions } from "./inbound/push-session.ts";
import { HeadRecorder } from "./inbound/record-head.ts";
import { repairHeads } from "./inbound/repair-heads.ts";
import { TransferSlots } from "./inbound/transfer-slots.ts";
import { readOverview } from "./outbound/deploy-overview.ts";
import { Directory } from "./outbound/directory.ts";
import { PushStore } from "./outbound/push-store.ts";
import { Repositories, repositorySettings } from "./outbound/repositories.ts";
import type { GitTables } from "./outbound/tables.ts";

await runService("git", GitConfig, async ({ config, log, scope, clock }) => {
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  const stateDir = realpathSync(config.stateDir);
  const { db } = scope.use(connectDatabase<GitTables>({ url: config.databaseUrl, schema: "git", log }));
  const bus = scope.use(
    connectBus({
      service: "git",
      url: config.natsUrl,
      credsFile: config.natsCredsFile,
      caFile: config.natsCaFile,
      log,
    }),
  );
  const relay = scope.use(createOutboxRelay({ db, bus, log }));
  const objects = await openObjectStore(config.objectStore);

  const hooksDir = realpathSync(join(import.meta.dirname, "..", "hooks"));
  const cage = { limits: config, settings: repositorySettings({ hooksDir, packBytes: config.packBytes }) };
  const repositories = new Repositories(join(stateDir, "repositories"), cage);
  await repositories.removeDrafts();
  const directory = new Directory(db);
  const pushes = new PushStore(db);
  const recorder = new HeadRecorder({
    cage,
    repositories,
    pushes,
    objects,
    clock,
    log,
    wakeRelay: () => relay.wake(),
  });

  // Start is recovery: the first run finds the pushes that were cut off.
  const repair = scope.use(
    new Reconciler({
      name: "repair-heads",
      everyMs: config.repairEveryMs,
      log,
      run: () => repairHeads({ repositories, directory, pushes, objects, recorder, log }),
    }),
  );

  const sessions = new PushSessions();
  const hookSocketPath = join(stateDir, "hook.sock");
  const followers = new Followers();
  scope.use(
    await serveHooks(hookSocketPath, {
      sessions,
      repositories,
      log,
      preReceive: { limits: config, cage, memory: new TreeMemory() },
      postReceive: {
        recorder,
        log,
        wakeRepair: repair.wake,
        serviceUrl: (label) =>
          `http://${label}.${config.podDomain}${config.edgePort === 80 ? "" : `:${config.edgePort}`}`,
        follow: {
          bus,
          followers,
          clock,
          log,
          followTimeoutMs: config.followTimeoutMs,
          readOverview: (deployId) => readOverview(db, deployId),
        },
      },
    }),
  );
  scope.use(
    await serveGit(config, {
      basePath: new URL(config.publicUrl).pathname.replace(/\/+$/, ""),
      directory,
      repositories,
      sessions,
      slots: new TransferSlots(config),
      cage,
      limits: config,
      hookSocketPath,
      transferTimeoutMs: config.transferTimeoutMs,
      clock,
      log,
    }),
  );
  // Closed before the server, so that waiting pushers still read that their deploy goes on.
  scope.use(followers);

  // Events only wake: the deploy's stored state says what is shown.
  bus.consume(DeployFinished, {}, async ({ deployId }) => followers.wake(deployId));
  bus.consume(BuildFailed, {}, async ({ deployId }) => followers.wake(deployId));
  bus.consume(FirstResponse, {}, async ({ deployId }) => followers.wake(deployId));
});
