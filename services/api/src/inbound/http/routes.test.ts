import { expect, test } from "vitest";
import { AUTHORIZATION, allRoutes } from "./routes.ts";

test("every route of the contract has an authorization entry, and every entry a route", () => {
  expect(
    allRoutes()
      .map(([name]) => name)
      .toSorted(),
  ).toEqual(Object.keys(AUTHORIZATION).toSorted());
});

test.each(allRoutes())("%s: the path names what its reach looks for, and its role fits", (name, route) => {
  const named = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1]);
  const expected = {
    anyone: [],
    self: [],
    pod: [],
    org: ["org"],
    environment: ["org", "environment"],
    service: ["org", "environment", "service"],
    deploy: ["deployId"],
    build: ["buildId"],
  }[AUTHORIZATION[name]];
  // Operators reach every host and pod, by its name. A release, a cron, a task, a domain is found inside its service,
  // a peer inside its environment.
  const inside = ["host", "pod", "version", "cron", "task", "peer", "domain", "certificate"];
  expect(named.filter((one) => !inside.includes(one ?? ""))).toEqual(expected);
  expect(route.role === "anyone").toBe(AUTHORIZATION[name] === "anyone");
  expect(route.role === "operator").toBe(AUTHORIZATION[name] === "pod");
});

test("the routes that stream are the ones whose handlers are given a stream or a socket", () => {
  const shaped = (shape: string) =>
    allRoutes().flatMap(([name, route]) => (route.shape === shape ? [name] : []));
  expect(shaped("events").toSorted()).toEqual(["readLogs", "watchDeploy", "watchEvents"]);
  expect(shaped("socket")).toEqual(["openTunnel"]);
});
