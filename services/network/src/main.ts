/** The network service: wiring only. */
import {
  AddPersonPeer,
  GetNetworks,
  JoinMesh,
  JoinNetwork,
  LeaveNetwork,
  NetworkApplied,
  NetworkHeld,
  NetworkReport,
  RemovePersonPeer,
  RotateNetworkKeys,
  ShowNetwork,
} from "@berth/shared/contracts/network.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { ChangedEnvironments } from "@berth/shared/kit/changed-environments.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { NetworkConfig } from "./config.ts";
import { onGetNetworks, onJoinMesh, onJoinNetwork, onLeaveNetwork } from "./inbound/host-requests.ts";
import { onAddPersonPeer, onRemovePersonPeer } from "./inbound/people.ts";
import { gathered, reconcileTables, sharedRuns } from "./inbound/reconcile-tables.ts";
import {
  onNetworkApplied,
  onNetworkHeld,
  onNetworkReport,
  onRotateNetworkKeys,
  onShowNetwork,
} from "./inbound/reports.ts";
import { releaseUnused } from "./outbound/member-store.ts";
import { readChanges, readWatermark, type Which } from "./outbound/table-store.ts";
import type { NetworkTables } from "./outbound/tables.ts";

const RELEASE_EVERY_MS = 5000;
/** Less than a container takes to start. */
const MESH_REST_MS = 150;

await runService("network", NetworkConfig, async ({ config, log, scope }) => {
  const { db } = scope.use(
    connectDatabase<NetworkTables>({ url: config.databaseUrl.reveal(), schema: "network", log }),
  );
  const bus = scope.use(
    connectBus({
      service: "network",
      url: config.natsUrl,
      credsFile: config.natsCredsFile,
      caFile: config.natsCaFile,
      log,
    }),
  );
  const parts = { db, bus, log, pools: config };
  const changes = new ChangedEnvironments({
    read: (since) => readChanges(db, since),
    wholeEveryMs: config.wholeEveryMs,
  });
  const again = (waiting: readonly string[], afterMs: number) => {
    changes.add(waiting);
    setTimeout(() => tables.wake(), afterMs).unref();
  };
  const given = {
    ...parts,
    reconcile: sharedRuns(() => reconcileTables({ ...parts, again })),
    reconcileOf: (which: Which) => reconcileTables({ ...parts, again }, which),
    reconcileMeshSoon: gathered(() => mesh.wake(), MESH_REST_MS),
  };

  const mesh = scope.use(
    new Reconciler({
      name: "mesh",
      everyMs: config.wholeEveryMs,
      log,
      run: async () => {
        if (bus.connected) await given.reconcileOf({ environments: [], mesh: true });
      },
    }),
  );
  const tables = scope.use(
    new Reconciler({
      name: "tables",
      restFactor: 5,
      everyMs: config.wholeEveryMs,
      log,
      run: async () => {
        // Nothing is made while nobody could be told.
        if (!bus.connected) return;
        try {
          const only = await changes.next();
          if (only === null) await given.reconcile();
          else if (only.length > 0) await given.reconcileOf({ environments: only, mesh: false });
        } catch (error) {
          changes.all();
          throw error;
        }
      },
    }),
  );
  scope.use(
    new Reconciler({
      name: "release",
      everyMs: RELEASE_EVERY_MS,
      log,
      run: () => releaseUnused(db, config.quarantineMs),
    }),
  );
  let watermark = "";
  scope.use(
    new Reconciler({
      name: "watch",
      everyMs: config.watchEveryMs,
      log,
      run: async () => {
        const now = await readWatermark(db);
        if (now === watermark) return;
        watermark = now;
        tables.wake();
      },
    }),
  );
  void bus.ready.then(tables.wake);

  scope.use(bus.serve(JoinNetwork, {}, onJoinNetwork(given)));
  scope.use(bus.serve(LeaveNetwork, {}, onLeaveNetwork(given)));
  scope.use(bus.serve(JoinMesh, {}, onJoinMesh(given)));
  scope.use(bus.serve(GetNetworks, {}, onGetNetworks(given)));
  scope.use(bus.serve(ShowNetwork, {}, onShowNetwork(db)));
  scope.use(bus.serve(RotateNetworkKeys, {}, onRotateNetworkKeys(given)));
  scope.use(bus.serve(AddPersonPeer, {}, onAddPersonPeer(given)));
  scope.use(bus.serve(RemovePersonPeer, {}, onRemovePersonPeer(given)));
  scope.use(bus.serve(NetworkHeld, {}, onNetworkHeld(given)));
  scope.use(bus.on(NetworkApplied, {}, onNetworkApplied(db)));
  scope.use(bus.on(NetworkReport, {}, onNetworkReport(db)));
});
