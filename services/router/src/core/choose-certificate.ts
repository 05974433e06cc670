/**
 * Which certificate a custom domain is served with.
 *
 * Pure. One that is valid now goes before one that is not; one that a customer brought before one that was ordered; the
 * service's own before its environment's; a name before a wildcard; then the one that lasts longest. Equal ones are told apart by id, so that every router chooses the same.
 */
import { covers } from "@berth/shared/domain/domain-name.ts";
import type { CertificateId, EnvironmentId, ServiceId } from "@berth/shared/domain/ids.ts";

export interface CertificateRow {
  readonly id: CertificateId;
  /** Null: the pod's own, for names under its domain and for nothing else. */
  readonly environmentId: EnvironmentId | null;
  /** Null: every service of the environment. */
  readonly serviceId: ServiceId | null;
  /** By the router, of an authority. */
  readonly isOrdered: boolean;
  readonly names: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

interface Asker {
  readonly environmentId: EnvironmentId;
  readonly serviceId: ServiceId;
}

export function chooseCertificate(
  name: string,
  { environmentId, serviceId }: Asker,
  certificates: readonly CertificateRow[],
  nowMs: number,
): CertificateRow | undefined {
  const fitting = certificates.filter(
    (one) =>
      one.environmentId === environmentId &&
      (one.serviceId === null || one.serviceId === serviceId) &&
      one.names.some((pattern) => covers(pattern, name)),
  );
  const rank = (one: CertificateRow): readonly number[] => [
    Number(one.notBeforeMs <= nowMs && nowMs < one.notAfterMs),
    Number(!one.isOrdered),
    Number(one.serviceId !== null),
    Number(one.names.includes(name)),
    one.notAfterMs,
  ];
  return fitting.toSorted((a, b) => compareRanks(rank(b), rank(a)) || compare(b.id, a.id))[0];
}

/** The pod's own that covers a name under its domain, and the name under which edges serve it. */
export function podCertificate(
  name: string,
  certificates: readonly CertificateRow[],
): { readonly certificateId: CertificateId; readonly name: string } | undefined {
  for (const one of certificates.toSorted((a, b) => compare(b.id, a.id))) {
    const covering = one.environmentId === null && one.names.find((pattern) => covers(pattern, name));
    if (typeof covering === "string") return { certificateId: one.id, name: covering };
  }
  return undefined;
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
