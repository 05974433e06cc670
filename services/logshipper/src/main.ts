/** The log shipper of one host: wiring only. It needs the engine and the disk; the bus may be away. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { HostFile } from "@berth/shared/contracts/http/api.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { LogshipperConfig } from "./config.ts";
import { serveTailLogs } from "./inbound/tail-logs.ts";
import { LogSource } from "./outbound/docker.ts";
import { PositionFile, RingStore } from "./outbound/ring-store.ts";
import { FollowerSet } from "./shipping/follower-set.ts";
import { LiveSender } from "./shipping/live-sender.ts";

const LOOK_MS = 2000;
const POSITIONS_MS = 1000;
const SWEEP_MS = 60 * 60 * 1000;

await runService("logshipper", LogshipperConfig, async ({ config, log, scope, clock }) => {
  const { hostId, podId } = HostFile.parse(
    JSON.parse(await readFile(join(config.hostDir, "host.json"), "utf8")),
  );
  const folder = join(config.hostDir, "logs");
  const bus = scope.use(
    connectBus({
      service: "logshipper",
      hostId,
      url: config.natsUrl,
      credsFile: config.natsCredsFile,
      caFile: config.natsCaFile,
      log,
    }),
  );
  const rings = new RingStore(folder);
  const kept = await rings.open();
  const positionFile = new PositionFile(folder);
  const positions = await positionFile.read();
  for (const [container, at] of kept) if (at > (positions.get(container) ?? "")) positions.set(container, at);

  // Closed last-in, first-out: the followers end, then the places are written for the last time.
  scope.use({ close: () => positionFile.write(positions) });
  scope.use(
    new Reconciler({
      name: "positions",
      everyMs: POSITIONS_MS,
      log,
      run: () => positionFile.write(positions),
    }),
  );
  scope.use(new Reconciler({ name: "sweep", everyMs: SWEEP_MS, log, run: () => rings.sweep(clock.nowMs()) }));
  const live = scope.use(new LiveSender(bus, hostId));
  const source = new LogSource(config.dockerSocket, podId);
  const followers = scope.use(new FollowerSet({ source, rings, live, positions, log }));

  const looking = scope.use(
    new Reconciler({ name: "look", everyMs: LOOK_MS, log, run: followers.look, restFactor: 4 }),
  );
  void followers.followStarts(looking.wake);
  scope.use(serveTailLogs(bus, hostId, rings));
});
