/** The picture of an environment's tunnels. */
import { expect, test } from "vitest";
import { type MeshHost, renderMesh } from "./render-mesh.ts";

const tunnel = (to: string, state: MeshHost["tunnels"][number]["state"], lostCount = 0) => ({
  ...{ to, state, sentCount: 20, lostCount },
  latencyMs: state === "up" ? 0.42 : null,
});
const hosts: MeshHost[] = [
  { name: "h1", tunnels: [tunnel("h2", "up"), tunnel("h3", "stalled", 20)] },
  { name: "h2", tunnels: [tunnel("h1", "up", 2)] },
  { name: "h3", tunnels: [tunnel("h1", "starting"), { ...tunnel("h2", "up"), latencyMs: null }] },
];
const picture = [
  "             h1           h2           h3",
  "h1           -            0.4 ms       DOWN",
  "h2           0.4 ms -10%  -            ?",
  "h3           starting     ok           -",
];

test("a row per host, a field per tunnel: latency, loss, or down; plain letters only", () => {
  expect(renderMesh(hosts)).toEqual(picture);
  expect(picture.join("\n")).toMatch(/^[\n -~]*$/);
});

test("what is painted stands where it stood: colours have no width", () => {
  const painted = renderMesh(hosts, (text, mood) => (mood === "none" ? text : `<${mood}>${text}</>`));
  expect(painted[1]).toContain("<down>DOWN</>");
  expect(painted[2]).toContain("<weak>0.4 ms -10%</>");
  expect(painted.map((line) => line.replaceAll(/<\/?\w*>/g, ""))).toEqual(picture);
});

test("a tunnel that rests is told so, and is no alarm", () => {
  const pair = [
    { name: "h1", tunnels: [tunnel("h2", "resting")] },
    { name: "h2", tunnels: [tunnel("h1", "up")] },
  ];
  expect(renderMesh(pair, (text, mood) => (mood === "none" ? text : `<${mood}>`))[1]).toContain("resting");
});

test("one host has no tunnels to draw, and twenty-one do not fit", () => {
  expect(renderMesh([{ name: "h1", tunnels: [] }])).toEqual([]);
  expect(renderMesh(Array.from({ length: 21 }, (_, i) => ({ name: `h${i}`, tunnels: [] })))).toEqual([]);
});
