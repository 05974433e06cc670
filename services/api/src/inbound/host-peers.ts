/**
 * Tells every agent which hosts there are: asked for at its start, on change, and every 10 s. Who asks tells where it
 * is: a host is its key, so one that comes from another address is the same host there.
 */
import { GetHostPeers, HostPeersChanged } from "@berth/shared/contracts/host.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import type { Closable } from "@berth/shared/kit/service.ts";
import { moveHost } from "../outbound/host-address-store.ts";
import { readPeers } from "../outbound/host-store.ts";
import type { Db } from "../outbound/tables.ts";

export function sharePeers({ db, bus, log }: { db: Db; bus: Bus; log: Log }): Closable & { changed(): void } {
  const served = bus.serve(GetHostPeers, {}, async ({ hostId, nodeAddress }) => {
    if (nodeAddress !== undefined) await noteAddress({ db, log, changed: teller.wake }, hostId, nodeAddress);
    return readPeers(db);
  });
  const teller = new Reconciler({
    name: "host-peers",
    everyMs: 10_000,
    log,
    run: async () => bus.signal(HostPeersChanged, await readPeers(db)),
  });
  return {
    changed: teller.wake,
    close: async () => {
      await served.close();
      await teller.close();
    },
  };
}

async function noteAddress(
  given: { db: Db; log: Log; changed: () => void },
  hostId: string,
  nodeAddress: string,
): Promise<void> {
  const outcome = await moveHost(given.db, hostId, nodeAddress);
  if (outcome === "taken") given.log.error("host.address-taken", { hostId, nodeAddress });
  if (outcome !== "moved") return;
  given.log.info("host.moved", { hostId, nodeAddress });
  given.changed();
}
