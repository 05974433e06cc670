/** GetCertificates: what the newest route tables name and this host does not have. */
import { GetCertificates, type SealedCertificate } from "@berth/shared/contracts/certificate.ts";
import type { CertificateId, HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { CertificateKeeper } from "../edge/certificate-keeper.ts";
import type { Edge } from "../edge/edge-types.ts";

export async function askCertificates(
  bus: Bus,
  hostId: HostId,
  certificateIds: CertificateId[],
): Promise<readonly SealedCertificate[]> {
  return (await bus.request(GetCertificates, { hostId, certificateIds })).certificates;
}

/** Who serves certificates on this host. */
type Serving = Pick<Edge, "certificateIds" | "verify">;

/** Once they are here, tables that wait for them are served and acknowledged. */
export async function keepCertificates(
  certificates: CertificateKeeper,
  edge: Serving,
  proxies: Serving,
): Promise<void> {
  const wanted = new Set([...edge.certificateIds(), ...proxies.certificateIds()]);
  if (await certificates.keep(wanted)) await Promise.all([edge.verify(), proxies.verify()]);
}
