import { expect, test } from "vitest";
import { type DomainOwner, judgeDomain } from "./judge-domain.ts";

const DAY_MS = 24 * 3600 * 1000;
const NOW_MS = 100 * DAY_MS;
const claim = { name: "shop.example.com", orgId: "org_a", serviceId: "svc_a" };
const held = (name: string, orgId: string, serviceId = "svc_x"): DomainOwner => ({
  ...{ name, orgId, serviceId, releasedAtMs: null },
});
const released = (name: string, orgId: string, daysAgo: number): DomainOwner => ({
  ...{ name, orgId, serviceId: null, releasedAtMs: NOW_MS - daysAgo * DAY_MS },
});

test.each<[string, DomainOwner[], string]>([
  ["nobody", [], "free"],
  ["this service", [held(claim.name, "org_a", "svc_a")], "own"],
  ["another service of the org", [held(claim.name, "org_a")], "other-service"],
  ["another org", [held(claim.name, "org_b")], "taken"],
  ["another org by a wildcard", [held("*.example.com", "org_b")], "taken"],
  ["the same org by a wildcard", [held("*.example.com", "org_a")], "free"],
  ["another org, the name above", [held("example.com", "org_b")], "free"],
  ["another org, released lately", [released(claim.name, "org_b", 29)], "quarantined"],
  ["another org's wildcard, released lately", [released("*.example.com", "org_b", 1)], "quarantined"],
  ["another org, released long ago", [released(claim.name, "org_b", 30)], "free"],
  ["the same org, released lately", [released(claim.name, "org_a", 1)], "free"],
])("had by %s", (_who, owners, kind) => {
  expect(judgeDomain(claim, owners, NOW_MS, 30 * DAY_MS).kind).toBe(kind);
});

test("a wildcard is not given while another org has a name that it would cover", () => {
  const wide = { ...claim, name: "*.example.com" };
  expect(judgeDomain(wide, [held("shop.example.com", "org_b")], NOW_MS, DAY_MS)).toEqual({
    ...{ kind: "taken", name: "shop.example.com" },
  });
});
