import { expect, test } from "vitest";
import { readAppJson } from "./app-json.ts";

test("formation, env and the health path of web are taken; the rest is named", () => {
  const text = JSON.stringify({
    name: "shop",
    formation: { web: { quantity: 2, size: "standard-1x" } },
    env: {
      GREETING: "hello",
      KEY: { description: "a key", required: true },
      PORT: "80",
      MODE: { value: "fast" },
    },
    healthchecks: { web: [{ type: "startup", path: "/up" }] },
    scripts: { postdeploy: "bin/seed" },
    addons: [],
  });
  const { result, notices } = readAppJson(text);
  expect(result).toMatchObject({
    kind: "read",
    wishes: {
      commands: {},
      config: {
        processes: { web: { scale: 2, healthPath: "/up" } },
        env: { GREETING: "hello", MODE: "fast" },
      },
    },
  });
  expect(notices).toEqual([
    "formation.web.size has no meaning here",
    "scripts has no meaning here",
    "addons has no meaning here",
    "env.KEY has no value; set it: berth vars set KEY=…",
    "env.PORT belongs to the platform or is no name",
  ]);
});

test.each([
  ["{", "JSON"],
  [JSON.stringify({ formation: { web: { quantity: 9000 } } }), "processes.web.scale"],
  [JSON.stringify({ formation: [] }), "formation"],
])("%s is refused", (text, word) => {
  const { result } = readAppJson(text);
  expect(result.kind === "problems" && result.problems[0]?.text).toContain(word);
});
