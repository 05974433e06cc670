/** Wiring of the secrets service. */
import { GetCertificates, StoreCertificate } from "@berth/shared/contracts/certificate.ts";
import { JobObserved } from "@berth/shared/contracts/job.ts";
import {
  ChangeVars,
  GetSealingKey,
  ListVars,
  MintPushToken,
  MintRegistryToken,
  RestoreVars,
} from "@berth/shared/contracts/secret.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { SecretsConfig } from "./config.ts";
import { onGetCertificates, onStoreCertificate } from "./inbound/certificates.ts";
import { onChangeVars } from "./inbound/change-vars.ts";
import { onJobObserved } from "./inbound/job-observed.ts";
import { onMintPushToken } from "./inbound/mint-push-token.ts";
import { onMintRegistryToken } from "./inbound/mint-registry-token.ts";
import { onRestoreVars } from "./inbound/restore-vars.ts";
import { CertificateVault } from "./outbound/certificate-vault.ts";
import { createRegistryTokens } from "./outbound/registry-tokens.ts";
import type { VaultTables } from "./outbound/vault.ts";
import { Vault } from "./outbound/vault.ts";

/** How long the sealed variables of a removed service may stay. */
const FORGET_EVERY_MS = 10_000;

await runService("secrets", SecretsConfig, async ({ config, log, scope }) => {
  const { db } = scope.use(connectDatabase<VaultTables>({ url: config.databaseUrl, schema: "secrets", log }));
  const vault = new Vault(db, config.masterKeyFile);
  const curve = await vault.curve();
  const tokens = createRegistryTokens({
    keyFile: config.registrySigningKeyFile,
    certFile: config.registrySigningCertFile,
    issuer: config.registryTokenIssuer,
    audience: config.registryTokenAudience,
  });
  const bus = scope.use(
    connectBus({
      service: "secrets",
      url: config.natsUrl,
      credsFile: config.natsCredsFile,
      caFile: config.natsCaFile,
      log,
    }),
  );

  scope.use(bus.serve(GetSealingKey, {}, async () => ({ publicKey: curve.publicKey })));
  scope.use(bus.serve(ChangeVars, {}, onChangeVars({ vault, curve })));
  scope.use(bus.serve(RestoreVars, {}, onRestoreVars({ vault })));
  scope.use(
    bus.serve(ListVars, {}, async ({ serviceId }) => {
      const { version, variables } = await vault.list(serviceId);
      return { version, variables: [...variables] };
    }),
  );
  const certificates = new CertificateVault(db, vault);
  scope.use(bus.serve(StoreCertificate, {}, onStoreCertificate({ certificates, curve })));
  scope.use(bus.serve(GetCertificates, {}, onGetCertificates({ certificates, curve, log })));
  scope.use(
    bus.serve(MintPushToken, {}, onMintPushToken({ db, tokens, lifeSeconds: config.pushTokenSeconds })),
  );
  scope.use(
    bus.serve(
      MintRegistryToken,
      {},
      onMintRegistryToken({ db, tokens, lifeSeconds: config.pushTokenSeconds }),
    ),
  );
  scope.use(
    new Reconciler({
      name: "forget-removed",
      everyMs: FORGET_EVERY_MS,
      log,
      run: async () => {
        const servicesCount = await vault.forgetRemoved();
        const certificatesCount = await certificates.forgetRemoved();
        if (servicesCount + certificatesCount > 0)
          log.info("vault.forgot-removed", { servicesCount, certificatesCount });
      },
    }),
  );
  // Not retried from the stream: an agent that still waits says `accepted` again.
  scope.use(
    bus.consume(
      JobObserved,
      { maxDeliver: 3 },
      onJobObserved({ db, vault, tokens, curve, bus, log, pullTokenSeconds: config.pullTokenSeconds }),
    ),
  );
});
