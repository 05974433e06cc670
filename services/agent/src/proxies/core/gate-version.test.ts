import { expect, test } from "vitest";
import { type GateFacts, gateVersion } from "./gate-version.ts";

const facts: GateFacts = {
  ...{ isOpen: true, isNamed: true, isTold: true },
  proxies: [{ phase: "serving", version: 7 }],
};
const behind = { phase: "leaving", version: 5 } as const;

test.each<[string, Partial<GateFacts>, number]>([
  ["the edge is ahead of the proxy", {}, 7],
  ["the proxy that leaves is used still", { proxies: [...facts.proxies, behind] }, 5],
  ["one serves nothing", { proxies: [{ phase: "serving", version: null }] }, 0],
  [
    "one that starts holds nothing up",
    { proxies: [...facts.proxies, { phase: "starting", version: null }] },
    7,
  ],
  ["the one that edges know ended, another one comes", { proxies: [{ phase: "gone", version: 7 }] }, 0],
  ["nobody is led to a proxy here", { isTold: false, proxies: [{ phase: "starting", version: null }] }, 9],
  ["an agent that starts, and does not know yet what runs", { isOpen: false, isTold: false, proxies: [] }, 0],
  [
    "an agent that starts, and never had one",
    { isOpen: false, isNamed: false, isTold: false, proxies: [] },
    9,
  ],
])("%s", (_what, more, served) => {
  expect(gateVersion({ ...facts, ...more }, 9)).toBe(served);
});

test("a proxy that is ahead of the edge changes nothing", () => {
  expect(gateVersion(facts, 6)).toBe(6);
});
