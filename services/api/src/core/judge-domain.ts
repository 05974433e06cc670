/**
 * Whether a service may have a name, given who has it or one that overlaps.
 *
 * Pure. Two orgs never hold names of which some host name is part of both: what a wildcard covers belongs to one of
 * them. A released name is its former owner's alone until its quarantine ends, so that nobody answers for links and
 * cookies of somebody who only moved.
 */
import { overlaps } from "@berth/shared/domain/domain-name.ts";

export interface DomainOwner {
  readonly name: string;
  readonly orgId: string;
  /** Null once it was released. */
  readonly serviceId: string | null;
  readonly releasedAtMs: number | null;
}

export interface DomainClaim {
  readonly name: string;
  readonly orgId: string;
  readonly serviceId: string;
}

export type DomainJudgement =
  | { readonly kind: "free" }
  | { readonly kind: "own" }
  | { readonly kind: "other-service"; readonly serviceId: string }
  | { readonly kind: "taken"; readonly name: string }
  | { readonly kind: "quarantined"; readonly name: string; readonly untilMs: number };

export function judgeDomain(
  claim: DomainClaim,
  owners: readonly DomainOwner[],
  nowMs: number,
  quarantineMs: number,
): DomainJudgement {
  for (const owner of owners) {
    if (owner.orgId === claim.orgId || !overlaps(owner.name, claim.name)) continue;
    if (owner.serviceId !== null) return { kind: "taken", name: owner.name };
    const untilMs = (owner.releasedAtMs ?? nowMs) + quarantineMs;
    if (nowMs < untilMs) return { kind: "quarantined", name: owner.name, untilMs };
  }
  const own = owners.find(({ name, orgId }) => name === claim.name && orgId === claim.orgId);
  if (own === undefined || own.serviceId === null) return { kind: "free" };
  return own.serviceId === claim.serviceId
    ? { kind: "own" }
    : { kind: "other-service", serviceId: own.serviceId };
}
