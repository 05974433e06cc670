/** Ready images between two real registries, without an engine: what is copied, and what is refused. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { putBlob, putManifest, type TargetGiven } from "./image-target.ts";
import { runImage } from "./run-image.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const architecture = process.arch === "x64" ? "amd64" : process.arch;
const digestOf = (bytes: string | Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

let dir: string;
let source: string;
let target: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "berth-images-"));
  [source, target] = [await startRegistry("source"), await startRegistry("target")];
}, 30_000);

afterAll(async () => {
  for (const child of children) {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
  await rm(dir, { recursive: true, force: true });
});

async function startRegistry(name: string): Promise<string> {
  const address = `127.0.0.1:${await freePort()}`;
  const storage = { filesystem: { rootdirectory: join(dir, name) } };
  const config = { version: 0.1, log: { level: "error" }, storage, http: { addr: address } };
  const file = join(dir, `${name}.json`);
  await writeFile(file, JSON.stringify(config));
  children.push(spawn("/usr/bin/docker-registry", ["serve", file], { stdio: "ignore" }));
  const answers = () =>
    fetch(`http://${address}/v2/`).then(
      ({ ok }) => ok,
      () => false,
    );
  await vi.waitUntil(answers, { timeout: 20_000 });
  return address;
}

const at = (registry: string, repository: string): TargetGiven => ({
  registryUrl: `http://${registry}`,
  repository,
  token: "nobody-asks",
  signal: AbortSignal.timeout(20_000),
});

/** @returns the manifest's digest */
async function store(registry: string, repository: string, tag: string, config: object): Promise<string> {
  const to = at(registry, repository);
  const put = async (bytes: Buffer, mediaType: string) => {
    const blob = { mediaType, digest: digestOf(bytes), size: bytes.length };
    await putBlob(to, blob, async () => Readable.from([bytes]));
    return blob;
  };
  const layer = await put(
    gzipSync(`layer of ${tag} ${"x".repeat(100_000)}`),
    "application/vnd.oci.image.layer.v1.tar+gzip",
  );
  const text = JSON.stringify({ os: "linux", architecture, config });
  const configBlob = await put(Buffer.from(text), "application/vnd.oci.image.config.v1+json");
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: configBlob,
    layers: [layer],
  });
  await putManifest(to, tag, { mediaType: MANIFEST, text: manifest });
  return digestOf(manifest);
}

async function take(image: string, given: { imageBytes?: number; ownRegistries?: string[] } = {}) {
  const steps: string[] = [];
  const result = await runImage(
    {
      registry: target,
      registryUrl: `http://${target}`,
      ownRegistries: given.ownRegistries ?? [`http://${source}`],
      limits: { imageBytes: given.imageBytes ?? 1_000_000, timeoutMs: 20_000 },
      mintPushToken: async () => "nobody-asks",
    },
    {
      ...{ buildId: "bld_1", repository: "org_1/svc_1", image, signal: AbortSignal.timeout(20_000) },
      ...{ onStep: (text: string) => void steps.push(text), onStage: () => undefined },
    },
  );
  return { result, steps };
}

const failureOf = async (...given: Parameters<typeof take>) => {
  const { result } = await take(...given);
  return result.outcome === "failed" ? result.failure : result;
};

test("an image of another registry is copied whole, pinned by its digest, and only once", async () => {
  const digest = await store(source, "acme/shop", "v1", { Cmd: ["run"], ExposedPorts: { "3000/tcp": {} } });
  const { result, steps } = await take(`${source}/acme/shop:v1`);
  expect(result).toMatchObject({
    outcome: "built",
    image: { kind: "image", digest, processes: { web: "" }, port: 3000 },
  });
  expect(steps.join("\n")).toContain("Copying 2 of its 2 parts");
  const stored = await fetch(`http://${target}/v2/org_1/svc_1/manifests/${digest}`, {
    headers: { accept: MANIFEST },
  });
  expect(digestOf(await stored.text())).toBe(digest);
  expect((await take(`${source}/acme/shop@${digest}`)).steps.join("\n")).not.toContain("Copying");
});

test("what was pushed to the service's own repository is taken as it is; another service's is not", async () => {
  const digest = await store(target, "org_1/svc_1", "mine", { Entrypoint: ["/app"] });
  expect((await take(`${target}/org_1/svc_1:mine`)).result).toMatchObject({
    outcome: "built",
    image: { digest },
  });
  await store(target, "org_1/svc_2", "theirs", { Entrypoint: ["/app"] });
  expect(await failureOf(`${target}/org_1/svc_2:theirs`)).toMatchObject({ code: "image-refused" });
});

test("too large, unknown, and without a command: each with its reason", async () => {
  await store(source, "acme/shop", "empty", {});
  expect(await failureOf(`${source}/acme/shop:v1`, { imageBytes: 10 })).toMatchObject({
    code: "image-refused",
    detail: expect.stringContaining("BERTH_BUILD_IMAGE_BYTES is 10"),
  });
  expect(await failureOf(`${source}/acme/shop:none`)).toMatchObject({
    code: "image-not-fetched",
    detail: expect.stringContaining("there is no acme/shop:none"),
  });
  expect(await failureOf(`${source}/acme/shop:empty`)).toMatchObject({
    code: "image-refused",
    detail: expect.stringContaining("command"),
  });
});

test("a private address is never called, not by name, not by redirect", async () => {
  let calls = 0;
  const inside = createServer((_request, response) => {
    calls += 1;
    response.end("{}");
  }).listen(0, "127.0.0.1");
  await once(inside, "listening");
  const { port } = inside.address() as { port: number };
  const redirector = createServer((_request, response) => {
    response.writeHead(307, { location: `http://127.0.0.1:${port}/secret` });
    response.end();
  }).listen(0, "127.0.0.1");
  await once(redirector, "listening");
  const from = `127.0.0.1:${(redirector.address() as { port: number }).port}`;
  for (const image of [`127.0.0.1:${port}/a/b`, `localhost:${port}/a/b`, `169.254.169.254/a/b`])
    expect(await failureOf(image)).toMatchObject({
      code: "image-not-fetched",
      detail: expect.stringContaining("not on the public Internet"),
    });
  expect(await failureOf(`${from}/a/b`, { ownRegistries: [`http://${from}`] })).toMatchObject({
    code: "image-not-fetched",
  });
  expect(calls).toBe(0);
  inside.close();
  redirector.close();
});
