import { expect, test } from "vitest";
import { parseEnvironment, parseRemote } from "./parse-remote.ts";
import { parseCpus, parseScale } from "./parse-scale.ts";

test.each([
  [
    "http://127.0.0.1:7421/acme/production/shop.git",
    { org: "acme", environment: "production", service: "shop" },
  ],
  ["https://git.example.org/a/b/c", { org: "a", environment: "b", service: "c" }],
  ["https://github.com/acme/shop.git", null],
  ["git@host:acme/production/shop.git", null],
  ["http://h/Acme/production/shop.git", null],
])("%s", (url, expected) => {
  expect(parseRemote(url)).toEqual(expected);
});

test.each([
  ["acme/production", { org: "acme", environment: "production" }],
  ["production", { org: null, environment: "production" }],
  ["a/b/c", null],
  ["", null],
  ["/x", null],
  ["acme/Prod", null],
])("environment %j", (text, expected) => {
  expect(parseEnvironment(text)).toEqual(expected);
});

test.each([
  ["web=3", { process: "web", amount: 3, relative: false }],
  ["worker=+1", { process: "worker", amount: 1, relative: true }],
  ["worker=-2", { process: "worker", amount: -2, relative: true }],
  ["web", null],
  ["web=", null],
  ["web=3.5", null],
  ["Web=1", null],
])("scale %s", (text, expected) => {
  expect(parseScale(text)).toEqual(expected);
});

test.each([
  ["0.5", 500],
  ["2", 2000],
  ["250m", 250],
  ["x", null],
  ["-1", null],
])("cpus %s", (text, expected) => {
  expect(parseCpus(text)).toBe(expected);
});
