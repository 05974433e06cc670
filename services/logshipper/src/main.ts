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
import { PlaceFile } from "./outbound/place-file.ts";
import { RingStore } from "./outbound/ring-store.ts";
import { LiveSender } from "./shipping/live-sender.ts";
import { TailSet } from "./shipping/tail-set.ts";

const LOOK_MS = 5000;
const PLACES_MS = 1000;
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
  const places = new PlaceFile(folder);
  await places.open(await rings.open());

  // Closed last-in, first-out: the tails end, then the places are written for the last time.
  scope.use({ close: () => places.write() });
  scope.use(new Reconciler({ name: "places", everyMs: PLACES_MS, log, run: () => places.write() }));
  scope.use(new Reconciler({ name: "sweep", everyMs: SWEEP_MS, log, run: () => rings.sweep(clock.nowMs()) }));
  const live = scope.use(new LiveSender(bus, hostId));
  const source = new LogSource(config.dockerSocket, podId);
  const tails = scope.use(new TailSet({ source, rings, live, places, log }));

  const looking = scope.use(
    new Reconciler({ name: "look", everyMs: LOOK_MS, log, run: tails.look, restFactor: 4 }),
  );
  void tails.followChanges(looking.wake);
  scope.use(serveTailLogs(bus, hostId, rings));
});
