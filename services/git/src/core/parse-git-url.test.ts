import { expect, test } from "vitest";
import { parseGitUrl } from "./parse-git-url.ts";

test("reads the four requests of smart HTTP, also below a base path", () => {
  const names = { kind: "git", org: "acme", environment: "production", service: "shop" };
  expect(parseGitUrl("GET", "/acme/production/shop.git/info/refs?service=git-upload-pack", "")).toEqual({
    ...names,
    operation: "upload-pack",
    phase: "advertise",
  });
  expect(parseGitUrl("GET", "/acme/production/shop/info/refs?service=git-receive-pack", "")).toEqual({
    ...names,
    operation: "receive-pack",
    phase: "advertise",
  });
  expect(parseGitUrl("POST", "/git/acme/production/shop.git/git-receive-pack", "/git")).toEqual({
    ...names,
    operation: "receive-pack",
    phase: "transfer",
  });
});

test.each([
  ["GET", "/acme/production/shop.git/HEAD"],
  ["GET", "/acme/production/shop.git/objects/info/packs"],
  ["GET", "/acme/production/shop.git/info/refs"],
  ["POST", "/acme/production/shop.git/info/refs?service=git-upload-pack"],
  ["GET", "/acme/production/shop.git/git-upload-pack"],
  ["GET", "/acme/../../etc.git/info/refs?service=git-upload-pack"],
  ["GET", "/acme/production/-x.git/info/refs?service=git-upload-pack"],
  ["GET", "/acme/production/%2e%2e.git/info/refs?service=git-upload-pack"],
  ["GET", "/"],
])("%s %s is unknown", (method, url) => {
  expect(parseGitUrl(method, url, "")).toMatchObject({ kind: "unknown" });
});
