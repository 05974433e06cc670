import { inspect } from "node:util";
import { expect, test } from "vitest";
import { EngineConnections } from "./engine-connections.ts";

test("a request's options are a short text, however many connections are open", () => {
  const connections = new EngineConnections();
  const options = { path: "/info", agent: connections };
  const text = inspect(options, { showHidden: true, depth: null });
  expect(text).toContain("EngineConnections");
  expect(text.length).toBeLessThan(100);
  connections.destroy();
});
