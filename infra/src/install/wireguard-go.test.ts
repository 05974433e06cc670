import { expect, test } from "vitest";
import { isNewEnough, parseWireguardGoVersion } from "./wireguard-go.ts";

test.each([
  ["wireguard-go v0.0.20250522\n\nUserspace WireGuard daemon", true],
  ["wireguard-go v0.0.20220316\n", false],
  ["wireguard-go v0.0.20230223\n", false],
])("%j is new enough: %s", (output, expected) => {
  expect(isNewEnough(parseWireguardGoVersion(output) ?? "")).toBe(expected);
});

test("what is no version is none", () => {
  expect(parseWireguardGoVersion("bash: wireguard-go: command not found")).toBeNull();
});
