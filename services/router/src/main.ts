/** The router: wiring only. */
import { readFile } from "node:fs/promises";
import { HostHeartbeat } from "@berth/shared/contracts/host.ts";
import { ServiceChanged } from "@berth/shared/contracts/release.ts";
import { GetRouteTables, RotationChanged, RouteApplied } from "@berth/shared/contracts/route.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { ChangedEnvironments } from "@berth/shared/kit/changed-environments.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { createOutboxRelay } from "@berth/shared/kit/outbox.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { RouterConfig } from "./config.ts";
import { FirstResponses } from "./inbound/first-responses.ts";
import { onGetRouteTables } from "./inbound/get-route-tables.ts";
import { HostAcks } from "./inbound/host-acks.ts";
import { orderCertificates } from "./inbound/order-certificates.ts";
import { reconcileAcknowledgements } from "./inbound/reconcile-acknowledgements.ts";
import { reconcilePodCertificate } from "./inbound/reconcile-pod-certificate.ts";
import { reconcileTables, repeatLagging } from "./inbound/reconcile-tables.ts";
import { watchExpiry } from "./inbound/watch-expiry.ts";
import { createAcmeAuthority } from "./outbound/acme-authority.ts";
import { removeReplaced } from "./outbound/certificate-store.ts";
import { readChanges } from "./outbound/read-changes.ts";
import { readWatermark } from "./outbound/route-store.ts";
import type { RouterTables } from "./outbound/tables.ts";

const EXPIRY_LOOK_MS = 10 * 60_000;
/** Tables of environments that changed are made anew within this when every word of it was lost. */
const TABLES_LOOK_MS = 2000;
/** Both what a deploy's first answer waits for, its table and its job, wake whoever asks. */
const FIRST_RESPONSES_MS = 10_000;

await runService("router", RouterConfig, async ({ config, log, scope, clock }) => {
  const { db } = scope.use(
    connectDatabase<RouterTables>({ url: config.databaseUrl.reveal(), schema: "router", log }),
  );
  const bus = scope.use(
    connectBus({
      service: "router",
      url: config.natsUrl,
      credsFile: config.natsCredsFile,
      caFile: config.natsCaFile,
      log,
    }),
  );
  const outbox = scope.use(createOutboxRelay({ db, bus, log }));

  const { podDomain, edgePort, probeTimeoutMs: timeoutMs } = config;
  const changes = new ChangedEnvironments({
    read: (since) => readChanges(db, since),
    wholeEveryMs: config.wholeEveryMs,
  });
  const tables: Reconciler = scope.use(
    new Reconciler({
      name: "tables",
      restFactor: 5,
      everyMs: TABLES_LOOK_MS,
      log,
      run: () =>
        reconcileTables({
          ...{ db, bus, log, podDomain, changes },
          again: (afterMs) => setTimeout(tables.wake, afterMs).unref(),
        }),
    }),
  );
  scope.use(
    new Reconciler({
      name: "lagging",
      everyMs: 1000,
      log,
      run: () => repeatLagging({ db, bus, log, podDomain }),
    }),
  );
  const all = () => {
    changes.all();
    tables.wake();
  };
  const asking = new FirstResponses({
    db,
    bus,
    log,
    clock,
    podDomain,
    edgePort,
    timeoutMs,
    stored: () => outbox.wake(),
  });
  const firstResponses = scope.use(
    new Reconciler({ name: "first-responses", everyMs: FIRST_RESPONSES_MS, log, run: asking.run }),
  );
  const marked = () => {
    outbox.wake();
    firstResponses.wake();
  };
  const acknowledgements = scope.use(
    new Reconciler({
      name: "acknowledgements",
      everyMs: 1000,
      log,
      run: () => reconcileAcknowledgements({ db, log, marked }),
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
        firstResponses.wake();
      },
    }),
  );

  const { podCertFile: certFile, podKeyFile: keyFile } = config;
  if (certFile !== undefined && keyFile !== undefined) {
    const podCertificate = scope.use(
      new Reconciler({
        name: "pod-certificate",
        everyMs: 60_000,
        log,
        run: async () => {
          await reconcilePodCertificate({ db, bus, log, certFile, keyFile, changed: all });
          await removeReplaced(db);
        },
      }),
    );
    void bus.ready.then(podCertificate.wake);
  }
  const { acmeDirectory: directory, acmeKeyFile, acmeContact: contact, acmeAtOnce: atOnce } = config;
  const mostPerOrgPerHour = config.acmePerOrgPerHour;
  if (directory !== undefined && acmeKeyFile !== undefined) {
    const accountKey = await readFile(acmeKeyFile, "utf8");
    const authority = createAcmeAuthority({ directory, accountKey, contact });
    scope.use(
      new Reconciler({
        name: "orders",
        everyMs: 2000,
        log,
        run: () => orderCertificates({ db, bus, log, authority, atOnce, mostPerOrgPerHour, changed: all }),
      }),
    );
  }
  scope.use(new Reconciler({ name: "expiry", everyMs: EXPIRY_LOOK_MS, log, run: watchExpiry({ db, log }) }));
  void bus.ready.then(all);
  const acks = new HostAcks(db, acknowledgements.wake);
  bus.consume(ServiceChanged, {}, async () => all());
  bus.on(RouteApplied, {}, acks.onRouteApplied);
  bus.on(RotationChanged, {}, tables.wake);
  bus.on(HostHeartbeat, {}, acks.onHeartbeat);
  const noteChanged = (environmentIds: readonly string[]) => {
    changes.add(environmentIds);
    tables.wake();
  };
  bus.serve(GetRouteTables, {}, onGetRouteTables(db, noteChanged));
});
