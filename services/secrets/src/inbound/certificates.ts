/** StoreCertificate and GetCertificates. */
import {
  type CertificateEnvelope,
  CertificatePair,
  type GetCertificates,
  type StoreCertificate,
} from "@berth/shared/contracts/certificate.ts";
import { CertificateId } from "@berth/shared/domain/ids.ts";
import type { Curve } from "@berth/shared/kit/curve.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { z } from "zod";
import { checkCertificate } from "../core/check-certificate.ts";
import type { CertificateVault } from "../outbound/certificate-vault.ts";

interface Given {
  readonly certificates: CertificateVault;
  readonly curve: Curve;
}

export function onStoreCertificate({ certificates, curve }: Given) {
  return async (
    asked: z.infer<typeof StoreCertificate.payload>,
  ): Promise<z.infer<typeof StoreCertificate.reply>> => {
    let pair: CertificatePair;
    try {
      pair = CertificatePair.parse(curve.openJson(asked.sealed, asked.senderKey));
    } catch {
      return { outcome: "refused", reason: "the sealed certificate could not be opened" };
    }
    const checked = checkCertificate(pair, Date.now());
    if (checked.kind === "refused") return { outcome: "refused", reason: checked.reason.slice(0, 500) };
    const stored = await certificates.store(asked.owner, asked.certificateId, checked);
    if (stored === null) return { outcome: "refused", reason: "this id is in use" };
    return { outcome: "stored", ...stored };
  };
}

/** The subject carries the host's id and only that host may publish on it; the key that seals is the record's. */
export function onGetCertificates({ certificates, curve, log }: Given & { readonly log: Log }) {
  return async ({
    hostId,
    certificateIds,
  }: z.infer<typeof GetCertificates.payload>): Promise<z.infer<typeof GetCertificates.reply>> => {
    const hostKey = await certificates.hostKey(hostId);
    if (hostKey === null) return { certificates: [] };
    const opened = await certificates.openFor(hostId, certificateIds);
    const given = new Set(opened.map(({ id }) => id));
    const refused = certificateIds.filter((id) => !given.has(id));
    log.info("certificates.given", { hostId, count: opened.length, refused });
    return {
      certificates: opened.map(({ id, pem }) => {
        const certificateId = CertificateId.parse(id);
        const envelope: CertificateEnvelope = { hostId, certificateId, pem };
        return { certificateId, senderKey: curve.publicKey, sealed: curve.sealJson(envelope, hostKey) };
      }),
    };
  };
}
