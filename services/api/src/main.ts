/** The api service: wiring only. */

import { BuildSucceeded } from "@berth/shared/contracts/build.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { createOutboxRelay } from "@berth/shared/kit/outbox.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { sql } from "kysely";
import { ApiConfig } from "./config.ts";
import { sharePeers } from "./inbound/host-peers.ts";
import { deployHandlers } from "./inbound/http/deploy-handlers.ts";
import { hostHandlers } from "./inbound/http/host-handlers.ts";
import { logsHandler } from "./inbound/http/logs-handler.ts";
import { orgHandlers } from "./inbound/http/org-handlers.ts";
import { createServer } from "./inbound/http/server.ts";
import { serviceHandlers } from "./inbound/http/service-handlers.ts";
import { varsHandlers } from "./inbound/http/vars-handlers.ts";
import { watchHandler } from "./inbound/http/watch-handler.ts";
import { reconcileReleases } from "./inbound/reconcile-releases.ts";
import { collectSpans } from "./inbound/spans-exported.ts";
import { loadHostSigner } from "./outbound/host-credentials.ts";
import { trimSpans } from "./outbound/span-store.ts";
import type { ApiTables } from "./outbound/tables.ts";

await runService("api", ApiConfig, async ({ config, log, scope }) => {
  // Outbound: closed last.
  const signer = loadHostSigner(config.natsAccountSeedFile);
  const { db } = scope.use(
    connectDatabase<ApiTables>({ url: config.databaseUrl.reveal(), schema: "api", log, poolSize: 12 }),
  );
  const bus = scope.use(
    connectBus({
      service: "api",
      url: config.natsUrl,
      credsFile: config.natsCredsFile,
      caFile: config.natsCaFile,
      log,
    }),
  );
  const outbox = scope.use(createOutboxRelay({ db, bus, log }));

  // Inbound: events wake, the tables steer.
  const releases = scope.use(
    new Reconciler({
      name: "releases",
      everyMs: 2000,
      log,
      run: () => reconcileReleases({ db, outbox, log }),
    }),
  );
  scope.use(bus.consume(BuildSucceeded, { durable: "api-build-succeeded" }, async () => releases.wake()));
  scope.use(collectSpans({ db, bus, log }));
  scope.use(new Reconciler({ name: "trim-spans", everyMs: 300_000, log, run: () => trimSpans(db) }));
  const peers = scope.use(sharePeers({ db, bus, log }));

  const addresses = {
    podDomain: config.podDomain,
    edgePort: config.edgePort,
    gitPublicUrl: config.gitPublicUrl,
  };
  const app = await createServer({
    db,
    log,
    publicUrl: config.apiPublicUrl,
    requestsPerSecond: config.requestsPerSecond,
    unready: async () => {
      const databaseUp = await sql`select 1`.execute(db).then(
        () => true,
        () => false,
      );
      return [...(databaseUp ? [] : ["database"]), ...(bus.connected ? [] : ["bus"])];
    },
    handlers: {
      ...orgHandlers({ db }),
      ...serviceHandlers({ db, addresses, outbox }),
      ...varsHandlers({ db, bus, outbox }),
      ...deployHandlers({ db, addresses, outbox }),
      ...watchHandler({ db, bus, log, addresses }),
      ...logsHandler({ db, bus }),
      ...hostHandlers({
        db,
        signer,
        natsPublicUrl: config.natsPublicUrl,
        registry: config.registry,
        podDomain: config.podDomain,
        podCidr: config.podCidr,
        caFile: config.natsCaFile,
        peersChanged: peers.changed,
      }),
    },
  });
  scope.use(app);
  await app.listen({ host: config.listenHost, port: config.listenPort });
});
