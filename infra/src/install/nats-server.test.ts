import { expect, test } from "vitest";
import { isNewEnough, parseNatsVersion } from "./nats-server.ts";

test("versions are compared as numbers", () => {
  expect(parseNatsVersion("nats-server: v2.15.1\n")).toBe("2.15.1");
  expect(parseNatsVersion("")).toBeNull();
  expect(isNewEnough("2.14.0")).toBe(true);
  expect(isNewEnough("2.9.10")).toBe(false);
  expect(isNewEnough("3.0.0")).toBe(true);
});
