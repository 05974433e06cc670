/**
 * Certificates of host names. A private key is clear in the memory of who brings it (the api for an upload, the router
 * for one that it ordered), of the secrets service, of the hosts' agents and in their edges; on the bus it is sealed.
 *
 *   api, router ─StoreCertificate(sealed to secrets)─▶ secrets ◀─GetCertificates─ agent (sealed to the host's key)
 *
 * A certificate never changes: a renewed one has another id, and a route table says which one a host name has.
 */
import { z } from "zod";
import { CertificateId, HostId, OrgId } from "../domain/ids.ts";
import { defineRequest } from "./event.ts";
import { Sealed } from "./secret.ts";

/** Chain and key together: what the edge's proxy takes as one command. */
export const CERTIFICATE_LIMIT_BYTES = 14_000;
/** Most certificates of one answer. */
export const CERTIFICATES_AT_ONCE = 20;

/** Clear content of StoreCertificate's `sealed`: as it was brought, in PEM. */
export const CertificatePair = z.strictObject({ chain: z.string().max(65_536), key: z.string().max(65_536) });
export type CertificatePair = z.infer<typeof CertificatePair>;

/** What may be told of a certificate. */
export const CertificateInfo = z.strictObject({
  /** DNS names, in lower case. */
  names: z.array(z.string().max(253)).min(1).max(200),
  issuer: z.string().max(500),
  notBeforeMs: z.number(),
  notAfterMs: z.number(),
  /** SHA-256 of the certificate, 64 hexadecimal digits. */
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  /** Such as `EC P-256` or `RSA 2048`. */
  keyKind: z.string().max(40),
});
export type CertificateInfo = z.infer<typeof CertificateInfo>;

/** Whose data key seals it; `pod`: the pod's own. */
export const CertificateOwner = z.union([OrgId, z.literal("pod")]);

export const StoreCertificate = defineRequest({
  name: "StoreCertificate",
  subject: "berth.v1.secrets.store-certificate",
  emittedBy: ["api", "router"],
  consumedBy: ["secrets"],
  about: "Checks, repairs and keeps a certificate with its key; the same id again answers the same.",
  payload: z.strictObject({
    owner: CertificateOwner,
    certificateId: CertificateId,
    /** Curve public key of the sender, needed to open `sealed`. */
    senderKey: z.string().max(80),
    sealed: Sealed,
  }),
  reply: z.discriminatedUnion("outcome", [
    z.strictObject({
      outcome: z.literal("stored"),
      certificate: CertificateInfo,
      /** What was put right, and what is doubtful, for a person. */
      notes: z.array(z.string().max(500)),
    }),
    z.strictObject({ outcome: z.literal("refused"), reason: z.string().max(500) }),
  ]),
  timeoutMs: 5000,
});

/** Clear content of an answer's `sealed`. `hostId` and `certificateId` bind it to one host and one certificate. */
export const CertificateEnvelope = z.strictObject({
  hostId: HostId,
  certificateId: CertificateId,
  /** PEM: the certificate first, then its intermediates, then its key. */
  pem: z.string().max(CERTIFICATE_LIMIT_BYTES),
});
export type CertificateEnvelope = z.infer<typeof CertificateEnvelope>;

export const SealedCertificate = z.strictObject({
  certificateId: CertificateId,
  senderKey: z.string().max(80),
  sealed: z.string().max(40_000),
});
export type SealedCertificate = z.infer<typeof SealedCertificate>;

export const GetCertificates = defineRequest({
  name: "GetCertificates",
  subject: "berth.v1.secrets.certificates.{hostId}",
  emittedBy: ["agent"],
  consumedBy: ["secrets"],
  about:
    "A host asks for certificates that route tables name, sealed to its own key; what is gone is left out.",
  payload: z.strictObject({
    hostId: HostId,
    certificateIds: z.array(CertificateId).min(1).max(CERTIFICATES_AT_ONCE),
  }),
  reply: z.strictObject({ certificates: z.array(SealedCertificate).max(CERTIFICATES_AT_ONCE) }),
  timeoutMs: 5000,
});
