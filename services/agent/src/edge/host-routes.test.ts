import type { RouteTable } from "@berth/shared/contracts/route.ts";
import { expect, test } from "vitest";
import type { Edge } from "./edge-types.ts";
import { HostRoutes } from "./host-routes.ts";

test("a table is acknowledged as far as edge and proxies serve it, and once more when the proxy follows", async () => {
  const applied = { env_a: 4, env_b: 2, env_c: 1 };
  const served: Record<string, number> = { env_a: 3, env_b: 2, env_c: 0 };
  const told: unknown[] = [];
  const seen: string[] = [];
  const edge = {
    apply: async (tables: readonly RouteTable[]) => {
      seen.push(`edge ${tables.length}`);
      return Object.entries(applied).map(([environmentId, version]) => ({ environmentId, version }));
    },
    status: () => ({ applied }),
  } as unknown as Edge;
  const proxies = {
    apply: async (tables: readonly RouteTable[]) => void seen.push(`proxies ${tables.length}`),
    gate: (id: string, version: number) => Math.min(version, served[id] ?? 0),
    traffic: async () => [],
  };
  const routes = new HostRoutes({ edge, proxies, served: (all) => void told.push(...all) });

  const a = (version: number) => ({ environmentId: "env_a", version });
  expect(await routes.apply([{} as RouteTable])).toEqual([a(3), { environmentId: "env_b", version: 2 }]);
  expect(seen.toSorted()).toEqual(["edge 1", "proxies 1"]);
  expect(routes.applied()).toEqual({ env_a: 3, env_b: 2 });
  routes.note([a(4)]);
  routes.noteProxy("env_c");
  served.env_a = 4;
  routes.noteProxy("env_a");
  expect(told).toEqual([a(3), a(4)]);
});
