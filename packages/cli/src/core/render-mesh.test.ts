/** The picture of an environment's tunnels. */
import { expect, test } from "vitest";
import { type MeshHost, renderMesh } from "./render-mesh.ts";

const tunnel = (to: string, state: "up" | "starting" | "stalled", lostCount = 0) => ({
  to,
  state,
  sentCount: 20,
  lostCount,
});

test("a row per host, a field per tunnel", () => {
  const hosts: MeshHost[] = [
    { name: "h1", tunnels: [tunnel("h2", "up"), tunnel("h3", "stalled", 20)] },
    { name: "h2", tunnels: [tunnel("h1", "up", 2)] },
    { name: "h3", tunnels: [tunnel("h1", "starting"), tunnel("h2", "up")] },
  ];
  expect(renderMesh(hosts)).toEqual([
    "        h1      h2      h3",
    "h1      ·       ok      DOWN",
    "h2      -10%    ·       ?",
    "h3      …       ok      ·",
  ]);
});

test("one host has no tunnels to draw, and twenty-one do not fit", () => {
  expect(renderMesh([{ name: "h1", tunnels: [] }])).toEqual([]);
  expect(renderMesh(Array.from({ length: 21 }, (_, i) => ({ name: `h${i}`, tunnels: [] })))).toEqual([]);
});
