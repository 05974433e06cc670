import type { CertificateId, EnvironmentId, ServiceId } from "@berth/shared/domain/ids.ts";
import { describe, expect, test } from "vitest";
import { type CertificateRow, chooseCertificate, podCertificate } from "./choose-certificate.ts";

const NOW_MS = 1000;
const asker = { environmentId: "env_a" as EnvironmentId, serviceId: "svc_a" as ServiceId };
const row = (id: string, more: Partial<CertificateRow> = {}): CertificateRow => ({
  id: id as CertificateId,
  environmentId: asker.environmentId,
  serviceId: null,
  isOrdered: false,
  names: ["shop.example"],
  notBeforeMs: 0,
  notAfterMs: 2000,
  ...more,
});
const chosen = (...rows: CertificateRow[]) => chooseCertificate("shop.example", asker, rows, NOW_MS)?.id;

describe("chooseCertificate", () => {
  test.each<[string, CertificateRow[], string | undefined]>([
    ["nothing fits", [row("a", { names: ["other.example"] })], undefined],
    ["another environment's never", [row("a", { environmentId: "env_b" as EnvironmentId })], undefined],
    ["the pod's never", [row("a", { environmentId: null })], undefined],
    ["another service's never", [row("a", { serviceId: "svc_b" as ServiceId })], undefined],
    ["valid first", [row("z", { notAfterMs: 999, serviceId: asker.serviceId }), row("a")], "a"],
    ["an expired one before none", [row("a", { notAfterMs: 999 })], "a"],
    ["not valid yet", [row("z", { notBeforeMs: 1001, notAfterMs: 9000 }), row("a")], "a"],
    ["the service's own", [row("z", { notAfterMs: 9000 }), row("a", { serviceId: asker.serviceId })], "a"],
    [
      "what was brought before what was ordered",
      [row("z", { isOrdered: true, serviceId: asker.serviceId, notAfterMs: 9000 }), row("a")],
      "a",
    ],
    ["the longest", [row("z"), row("a", { notAfterMs: 3000 })], "a"],
    ["the newest of equals", [row("a"), row("b")], "b"],
  ])("%s", (_what, rows, id) => {
    expect(chosen(...rows)).toBe(id);
    expect(chosen(...rows.toReversed())).toBe(id);
  });

  test("a wildcard covers one label, a name of its own goes before it, and a wildcard domain needs a wildcard", () => {
    const wide = row("z", { names: ["*.example"], notAfterMs: 9000 });
    expect(chosen(wide)).toBe("z");
    expect(chosen(wide, row("a"))).toBe("a");
    expect(chooseCertificate("*.shop.example", asker, [row("a")], NOW_MS)).toBeUndefined();
  });
});

test("podCertificate is the newest of the pod's own that covers the name", () => {
  const own = (id: string) => row(id, { environmentId: null, names: ["*.berth.localhost"] });
  expect(podCertificate("shop-main.berth.localhost", [own("a"), own("b"), row("z")])).toEqual({
    ...{ certificateId: "b", name: "*.berth.localhost" },
  });
  expect(podCertificate("shop.example", [own("a")])).toBeUndefined();
});
