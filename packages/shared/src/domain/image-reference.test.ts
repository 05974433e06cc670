import { expect, test } from "vitest";
import { ImageName, parseImageReference } from "./image-reference.ts";

const digest = `sha256:${"ab".repeat(32)}`;

test.each([
  ["nginx", "docker.io", "library/nginx", "latest"],
  ["acme/shop:v1", "docker.io", "acme/shop", "v1"],
  ["ghcr.io/acme/shop", "ghcr.io", "acme/shop", "latest"],
  ["10.0.0.1:7425/org_1/svc_1:v2", "10.0.0.1:7425", "org_1/svc_1", "v2"],
  [`GHCR.io/acme/shop:v1@${digest}`, "ghcr.io", "acme/shop", digest],
  ["localhost/shop", "localhost", "shop", "latest"],
])("%s", (text, registry, repository, version) => {
  expect(parseImageReference(text)).toEqual({ registry, repository, version });
});

test.each([
  "",
  "Shop",
  "shop:",
  "shop:v1:v2",
  "shop@sha256:12",
  `shop@${digest}@${digest}`,
  "http://ghcr.io/acme/shop",
  "ghcr.io/../shop",
  "user@ghcr.io/acme/shop",
  "ghcr.io:99x/shop",
  "a".repeat(501),
])("%j names no image", (text) => {
  expect(parseImageReference(text)).toBeNull();
  expect(ImageName.safeParse(text).success).toBe(false);
});

test("a tag alone is one of the service's own repository", () => {
  expect(ImageName.safeParse(":v1").success).toBe(true);
  expect(ImageName.safeParse(":v1/x").success).toBe(false);
  expect(ImageName.safeParse(":").success).toBe(false);
});
