/** What hosts are told, from what is stored. */
import type { EnvironmentNetwork } from "@berth/shared/contracts/network.ts";
import { OPEN_EGRESS } from "@berth/shared/domain/egress-policy.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { expect, test } from "vitest";
import { planTables, type World } from "./plan-tables.ts";

const environmentId = (n: number) => `env_${String(n).padStart(26, "0")}` as EnvironmentId;
const world: World = {
  environments: [1, 2].map((n) => ({
    environmentId: environmentId(n),
    subnet: `10.128.${n * 32}.0/19`,
    keyGeneration: 0,
    egress: OPEN_EGRESS,
    gateway: null,
  })),
  members: [],
  names: [],
  links: [],
  people: [],
  linked: [],
  hosts: [],
  podCidr: "10.128.0.0/10",
  hostCidr: "10.127.0.0/16",
};
const link = {
  consumerId: environmentId(1),
  environmentId: environmentId(2),
  serviceId: "svc_1",
  name: "ledger.live.acme",
  port: 8080,
};
const instance = (process: string, address: string, ready = true) => ({
  ...{ serviceId: "svc_1", process, address, ready },
});

function linksOf(given: Partial<World>, n: number) {
  const told = planTables({ ...world, ...given }, new Map()).find(({ name }) => name === environmentId(n));
  return (told?.content as EnvironmentNetwork | undefined)?.links ?? [];
}

test("a link is told to the environment that uses it, and to no other", () => {
  const given = {
    links: [link],
    linked: [instance("web", "10.128.64.3", false), instance("web", "10.128.64.2")],
  };
  expect(linksOf(given, 2)).toEqual([]);
  expect(linksOf(given, 1)).toEqual([
    {
      environmentId: environmentId(2),
      name: "ledger.live.acme",
      port: 8080,
      instances: [
        { address: "10.128.64.2", ready: true },
        { address: "10.128.64.3", ready: false },
      ],
    },
  ]);
});

test("it leads to the service's web instances; without any, to all", () => {
  const worker = instance("worker", "10.128.64.9");
  const addresses = (linked: World["linked"]) =>
    linksOf({ links: [link], linked }, 1).flatMap(({ instances }) => instances.map(({ address }) => address));
  expect(addresses([worker, instance("web", "10.128.64.2")])).toEqual(["10.128.64.2"]);
  expect(addresses([worker])).toEqual(["10.128.64.9"]);
  expect(addresses([])).toEqual([]);
});

test("equal content keeps its version, whatever the order of the rows", () => {
  const given = { ...world, links: [link, { ...link, port: 81 }] };
  const stored = new Map(planTables(given, new Map()).map((table) => [table.name, table]));
  expect(planTables({ ...given, links: given.links.toReversed() }, stored)).toEqual([]);
});
