import { describe, expect, test } from "vitest";
import {
  covers,
  DomainName,
  isOfPod,
  overlaps,
  parseDomainName,
  proofName,
  wildcardOf,
} from "./domain-name.ts";

describe("parseDomainName", () => {
  test.each([
    ["Shop.Example.COM.", "shop.example.com"],
    ["*.example.com", "*.example.com"],
    ["bücher.example", "xn--bcher-kva.example"],
    ["XN--BCHER-KVA.example", "xn--bcher-kva.example"],
    ["例え。テスト.example", "xn--r8jz45g.xn--zckzah.example"],
  ])("%j is kept as %j", (written, kept) => {
    expect(parseDomainName(written)).toEqual({ kind: "name", name: kept });
    expect(DomainName.parse(kept)).toBe(kept);
  });

  test.each([
    "com",
    "*.com",
    "*",
    "a.*.example.com",
    "*a.example.com",
    "a b.example.com",
    "-a.example.com",
    "a..example.com",
    "_berth.example.com",
    "192.0.2.1",
    "1.2",
    "0x7f.1",
    "example.com/path",
    "user@example.com",
    "example.com:80",
    "shop.localhost",
    "shop.internal",
    `${"a".repeat(64)}.example.com`,
    `${"a.".repeat(125)}com`,
    "a\u0000b.example.com",
  ])("%j is refused", (written) => {
    expect(parseDomainName(written).kind).toBe("refused");
  });
});

test("a wildcard covers one label, and is proved where its base is", () => {
  expect(covers("*.example.com", "shop.example.com")).toBe(true);
  expect(covers("*.example.com", "a.shop.example.com")).toBe(false);
  expect(covers("*.example.com", "example.com")).toBe(false);
  expect(covers("example.com", "shop.example.com")).toBe(false);
  expect(overlaps("shop.example.com", "*.example.com")).toBe(true);
  expect(overlaps("*.shop.example.com", "*.example.com")).toBe(false);
  expect(wildcardOf("shop.example.com")).toBe("*.example.com");
  expect(proofName("*.example.com")).toBe("_berth.example.com");
});

test.each([
  ["apps.example.com", true],
  ["shop.apps.example.com", true],
  ["*.apps.example.com", true],
  ["*.example.com", true],
  ["example.com", false],
  ["myapps.example.com", false],
])("%s with the pod at apps.example.com: %s", (name, own) => {
  expect(isOfPod(name, "apps.example.com")).toBe(own);
});
