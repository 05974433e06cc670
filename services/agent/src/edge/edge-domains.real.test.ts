/** Custom domains at the edge, with a real HAProxy on loopback. `BERTH_TEST_HAPROXY` names another binary than `haproxy`. */
import { afterEach, expect, test } from "vitest";
import { closeAll, get, startApp, startRig, table } from "./testing/edge-rig.ts";

const BINARY = process.env.BERTH_TEST_HAPROXY ?? "haproxy";

afterEach(closeAll);

test("a wildcard serves one label below it, with its own list; an exact name goes before it", async () => {
  const rig = await startRig(BINARY);
  const [wide, exact] = [await startApp("wide"), await startApp("exact")];
  const other = "env_00000000000000000000000002";
  const closed = table(1, { "*.closed.example": [wide.port] }, other, ["203.0.113.7/32"]);
  const sites = { "*.shop.example": [wide.port], "www.shop.example": [exact.port] };
  expect(await rig.edge.apply([table(1, sites), closed])).toHaveLength(2);
  const nameOf = async (host: string) =>
    (JSON.parse((await get(rig.port, host)).body) as { name: string }).name;
  expect(await nameOf("any.shop.example")).toBe("wide");
  expect(await nameOf("WWW.shop.example:8000")).toBe("exact");
  expect(rig.edge.site("any.shop.example")?.hostname).toBe("*.shop.example");
  for (const host of ["a.b.shop.example", "shop.example", "shop", "any.closed.example.com"])
    expect((await get(rig.port, host)).status, host).toBe(404);
  expect((await get(rig.port, "*.shop.example")).status).toBe(400);
  expect((await get(rig.port, "any.closed.example")).status).toBe(403);
});
