/** Certificates that customers bring. A key goes in and never comes out. */
import { z } from "zod";
import { CertificateId } from "../../domain/ids.ts";
import { ServiceName } from "../../domain/names.ts";
import { CertificateInfo } from "../certificate.ts";
import { ENVIRONMENT, EnvironmentPath } from "./paths.ts";
import { route } from "./route.ts";

export const Certificate = CertificateInfo.extend({
  id: CertificateId,
  /** Null: every service of the environment. */
  service: ServiceName.nullable(),
  /** Domains that route tables serve with it. */
  serves: z.array(z.string()),
  createdAt: z.string(),
});
export type Certificate = z.infer<typeof Certificate>;

const CERTIFICATE = `${ENVIRONMENT}/certificates/:certificate`;
const CertificatePath = EnvironmentPath.extend({ certificate: CertificateId });
const Pem = z.string().min(1).max(65_536);

export const listCertificates = route({
  method: "GET",
  path: `${ENVIRONMENT}/certificates`,
  role: "member",
  summary: "Certificates of an environment",
  params: EnvironmentPath,
  reply: z.strictObject({ certificates: z.array(Certificate) }),
});

export const addCertificate = route({
  method: "POST",
  path: `${ENVIRONMENT}/certificates`,
  role: "member",
  summary: "Bring a certificate; it is served for the verified domains that it covers",
  params: EnvironmentPath,
  body: z.strictObject({ service: ServiceName.nullable().default(null), chain: Pem, key: Pem }),
  reply: z.strictObject({
    certificate: Certificate,
    /** What was put right, and what is doubtful. */
    notes: z.array(z.string()),
  }),
});

export const showCertificate = route({
  method: "GET",
  path: CERTIFICATE,
  role: "member",
  summary: "One certificate",
  params: CertificatePath,
  reply: Certificate,
});

export const removeCertificate = route({
  method: "DELETE",
  path: CERTIFICATE,
  role: "owner",
  summary: "Remove a certificate; its key is deleted",
  params: CertificatePath,
  reply: z.strictObject({ removed: z.literal(true) }),
});
