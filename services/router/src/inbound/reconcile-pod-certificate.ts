/** The certificate for names under the pod's domain: as it is in its files, so it is kept and served. */
import { readFile } from "node:fs/promises";
import { StoreCertificate } from "@berth/shared/contracts/certificate.ts";
import { GetSealingKey } from "@berth/shared/contracts/secret.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { createCurve } from "@berth/shared/kit/curve.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely } from "kysely";
import { fingerprintOf, readPodFingerprint, replacePodCertificate } from "../outbound/certificate-store.ts";
import type { RouterTables } from "../outbound/tables.ts";

interface Given {
  readonly db: Kysely<RouterTables>;
  readonly bus: Bus;
  readonly log: Log;
  readonly certFile: string;
  readonly keyFile: string;
  /** Called when there is another one: the tables follow. */
  readonly changed: () => void;
}

/** @throws BerthError `unavailable` while the secrets service is away: it is tried again */
export async function reconcilePodCertificate(given: Given): Promise<void> {
  const { db, bus, log } = given;
  if (!bus.connected) return;
  const chain = await readFile(given.certFile, "utf8");
  if (fingerprintOf(chain) === (await readPodFingerprint(db))) return;
  const certificateId = newId("certificate");
  const { publicKey } = await bus.request(GetSealingKey, {});
  const curve = createCurve();
  const sealed = curve.sealJson({ chain, key: await readFile(given.keyFile, "utf8") }, publicKey);
  const reply = await bus.request(StoreCertificate, {
    ...{ owner: "pod" as const, certificateId, sealed },
    senderKey: curve.publicKey,
  });
  if (reply.outcome === "refused") {
    log.error("pod-certificate.refused", { file: given.certFile, reason: reply.reason });
    return;
  }
  await replacePodCertificate(db, certificateId, reply.certificate);
  log.info("pod-certificate.stored", { certificateId, names: reply.certificate.names });
  given.changed();
}
