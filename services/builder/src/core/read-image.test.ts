import { expect, test } from "vitest";
import { readConfig, readManifest } from "./read-image.ts";

const digest = (hex: string) => `sha256:${hex.repeat(32)}`;
const limits = { architecture: "amd64", maxBytes: 1000 };
const oci = "application/vnd.oci.image.manifest.v1+json";
const index = "application/vnd.oci.image.index.v1+json";
const blob = (hex: string, size: number, mediaType = "application/vnd.oci.image.layer.v1.tar+gzip") => ({
  ...{ mediaType, digest: digest(hex), size },
});
const manifest = (layers: unknown[]) => JSON.stringify({ config: blob("cc", 10), layers });

test("a manifest is read with the sum of its layers", () => {
  const read = readManifest(oci, manifest([blob("aa", 400), blob("bb", 600)]), limits);
  expect(read).toMatchObject({ kind: "read", value: { manifest: { layersBytes: 1000 } } });
});

test("of a list the hosts' platform is chosen; attestations are no platform", () => {
  const manifests = [
    { digest: digest("01"), platform: { os: "unknown", architecture: "unknown" } },
    { digest: digest("02"), platform: { os: "linux", architecture: "arm64" } },
    { digest: digest("03"), platform: { os: "linux", architecture: "amd64" } },
  ];
  const read = readManifest(index, JSON.stringify({ manifests }), limits);
  expect(read).toEqual({ kind: "read", value: { kind: "choice", digest: digest("03") } });
  const other = readManifest(index, JSON.stringify({ manifests: manifests.slice(1, 2) }), limits);
  expect(other).toMatchObject({ kind: "refused", detail: expect.stringContaining("linux/arm64") });
});

test.each([
  ["text/html", "<html>", "no image"],
  [oci, "{", "cannot be read"],
  [oci, manifest([blob("aa", 1001)]), "BERTH_BUILD_IMAGE_BYTES is 1000"],
  [oci, manifest(Array.from({ length: 128 }, () => blob("aa", 1))), "128 layers"],
  [oci, manifest([{ ...blob("aa", 1), digest: "sha256:../../etc" }]), "cannot be read"],
  [
    oci,
    manifest([blob("aa", 1, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")]),
    "not in its registry",
  ],
])("refused: %s", (type, text, detail) => {
  expect(readManifest(type, text, limits)).toMatchObject({
    kind: "refused",
    detail: expect.stringContaining(detail),
  });
});

const config = (given: object, platform = { os: "linux", architecture: "amd64" }) =>
  readConfig(JSON.stringify({ ...platform, config: given }), "amd64");

test("command, port and user come from the configuration", () => {
  const given = { Cmd: ["run"], ExposedPorts: { "3000/tcp": {}, "53/udp": {} }, User: "1000" };
  expect(config(given)).toEqual({
    kind: "read",
    value: { profile: { port: 3000, rootFilesystem: "writable", runsAsRoot: false } },
  });
  expect(config({ Entrypoint: ["/bin/x"], ExposedPorts: { "80/tcp": {}, "443/tcp": {} } })).toMatchObject({
    value: { profile: { port: 8080, runsAsRoot: true } },
  });
});

test("what could not run is refused", () => {
  expect(config({ Cmd: [] })).toMatchObject({ kind: "refused" });
  expect(config({ Cmd: ["x"] }, { os: "windows", architecture: "amd64" })).toMatchObject({ kind: "refused" });
  expect(readConfig("nonsense", "amd64")).toMatchObject({ kind: "refused" });
});
