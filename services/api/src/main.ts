/** The api service: wiring only. */

import { BuildSucceeded } from "@berth/shared/contracts/build.ts";
import { pushAccountClaims } from "@berth/shared/kit/account-claims.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { createOutboxRelay } from "@berth/shared/kit/outbox.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { sql } from "kysely";
import { ApiConfig } from "./config.ts";
import { sharePeers } from "./inbound/host-peers.ts";
import { allowHandlers } from "./inbound/http/allow-handlers.ts";
import { certificateHandlers } from "./inbound/http/certificate-handlers.ts";
import { deployHandlers } from "./inbound/http/deploy-handlers.ts";
import { domainHandlers } from "./inbound/http/domain-handlers.ts";
import { egressHandlers } from "./inbound/http/egress-handlers.ts";
import { eventHandlers } from "./inbound/http/event-handlers.ts";
import { hostHandlers } from "./inbound/http/host-handlers.ts";
import { httpOptionHandlers } from "./inbound/http/http-option-handlers.ts";
import { imageHandlers } from "./inbound/http/image-handlers.ts";
import { linkHandlers } from "./inbound/http/link-handlers.ts";
import { logsHandler } from "./inbound/http/logs-handler.ts";
import { maintenanceHandlers } from "./inbound/http/maintenance-handlers.ts";
import { networkHandlers } from "./inbound/http/network-handlers.ts";
import { orgHandlers } from "./inbound/http/org-handlers.ts";
import { peerHandlers } from "./inbound/http/peer-handlers.ts";
import { podHandlers } from "./inbound/http/pod-handlers.ts";
import { policyHandlers } from "./inbound/http/policy-handlers.ts";
import { rebalanceHandlers } from "./inbound/http/rebalance-handlers.ts";
import { releaseHandlers } from "./inbound/http/release-handlers.ts";
import { createServer } from "./inbound/http/server.ts";
import { serviceHandlers } from "./inbound/http/service-handlers.ts";
import { sleepHandlers } from "./inbound/http/sleep-handlers.ts";
import { taskHandlers } from "./inbound/http/task-handlers.ts";
import { tunnelHandler } from "./inbound/http/tunnel-handler.ts";
import { varsHandlers } from "./inbound/http/vars-handlers.ts";
import { watchHandler } from "./inbound/http/watch-handler.ts";
import { reconcileReleases } from "./inbound/reconcile-releases.ts";
import { proofTimes, reproveDomains } from "./inbound/reprove-domains.ts";
import { revokeRemovedHosts } from "./inbound/revoke-removed-hosts.ts";
import { collectSpans } from "./inbound/spans-exported.ts";
import { loadAccountSigner } from "./outbound/account-signer.ts";
import { loadHostSigner } from "./outbound/host-credentials.ts";
import { pruneReleases } from "./outbound/kept-releases.ts";
import { trimSpans } from "./outbound/span-store.ts";
import type { ApiTables } from "./outbound/tables.ts";
import { createTxtRecords } from "./outbound/txt-records.ts";

const HOUR_MS = 3600 * 1000;
const DAY_MS = 24 * HOUR_MS;

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
  scope.use(
    new Reconciler({
      name: "prune-releases",
      everyMs: 60_000,
      log,
      run: async () => {
        const releasesCount = await pruneReleases(db);
        if (releasesCount > 0) log.info("releases.pruned", { releasesCount });
      },
    }),
  );
  scope.use(new Reconciler({ name: "trim-spans", everyMs: 300_000, log, run: () => trimSpans(db) }));
  const peers = scope.use(sharePeers({ db, bus, log }));
  const revocations = scope.use(
    revokeRemovedHosts({
      db,
      log,
      signer: loadAccountSigner(config.natsAccountJwtFile, config.natsSigningSeedFile),
      push: (accountJwt) =>
        pushAccountClaims({
          url: config.natsUrl,
          credsFile: config.natsRevokingCredsFile,
          caFile: config.natsCaFile,
          accountJwt,
          timeoutMs: 5000,
        }),
    }),
  );

  const txt = createTxtRecords({ servers: config.dnsServers, timeoutMs: config.dnsTimeoutMs });
  const proofs = {
    ...{ db, log, txt, graceMs: config.domainGraceDays * DAY_MS },
    times: proofTimes(config.domainProofHours * HOUR_MS),
  };
  scope.use(
    new Reconciler({ name: "domain-proofs", everyMs: 60_000, log, run: () => reproveDomains(proofs) }),
  );

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
      ...httpOptionHandlers({ db }),
      ...policyHandlers({ db, outbox }),
      ...sleepHandlers({ db, outbox }),
      ...rebalanceHandlers({ db, bus }),
      ...varsHandlers({ db, bus, outbox }),
      ...networkHandlers({ db, bus }),
      ...allowHandlers({ db }),
      ...egressHandlers({ db, bus }),
      ...certificateHandlers({ db, bus }),
      ...domainHandlers({
        db,
        podDomain: config.podDomain,
        txt,
        quarantineMs: config.domainQuarantineDays * DAY_MS,
        mostPerOrg: config.domainsPerOrg,
      }),
      ...linkHandlers({ db, bus }),
      ...peerHandlers({ db, bus }),
      ...deployHandlers({ db, addresses, outbox }),
      ...releaseHandlers({ db, bus, outbox }),
      ...imageHandlers({ db, bus, outbox, registry: config.registry, caFile: config.natsCaFile }),
      ...taskHandlers({ db, outbox }),
      ...maintenanceHandlers({ db, outbox }),
      ...watchHandler({ db, bus, log, addresses }),
      ...logsHandler({ db, bus }),
      ...tunnelHandler({
        db,
        bus,
        log,
        limits: { idleMs: config.tunnelIdleMs, totalMs: config.tunnelTotalMs },
      }),
      ...eventHandlers({ db, log }),
      ...podHandlers({ db }),
      ...hostHandlers({
        db,
        bus,
        signer,
        natsPublicUrl: config.natsPublicUrl,
        registry: config.registry,
        podDomain: config.podDomain,
        hostCidr: config.hostCidr,
        caFile: config.natsCaFile,
        peersChanged: peers.changed,
        hostRemoved: revocations.wake,
      }),
    },
  });
  scope.use(app);
  await app.listen({ host: config.listenHost, port: config.listenPort });
});
