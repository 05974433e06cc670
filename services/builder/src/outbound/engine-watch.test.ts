/** The watch against an engine's socket that ends, as a killed engine's does, and one that stays. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BuildEngine } from "./engine.ts";
import { EngineGone, engineAnswers, watchEngine } from "./engine-watch.ts";

let dir: string;
let server: Server;
let engine: BuildEngine;
let asked: Promise<void>;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "berth-engine-watch-"));
  const heard = Promise.withResolvers<void>();
  asked = heard.promise;
  server = createServer((request, response) => {
    if (request.url?.includes("/version")) return response.end('{"Version":"20.10.24"}');
    response.writeHead(200).flushHeaders();
    heard.resolve();
  });
  const socketPath = join(dir, "docker.sock");
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const limits = { memoryBytes: 1, cpus: 1, pids: 1, maxAppBytes: 1 };
  engine = new BuildEngine({ socketPath, builderId: "test", limits });
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
  rmSync(dir, { recursive: true, force: true });
});

test("an engine that ends is gone, and the signal says so", async () => {
  const watch = watchEngine(engine);
  await asked;
  server.closeAllConnections();
  expect(await watch.isGone()).toBe(true);
  expect(watch.signal.reason).toBeInstanceOf(EngineGone);
});

test("an engine that stays is not gone, and closing the watch is not its death", async () => {
  const watch = watchEngine(engine);
  await asked;
  expect(await watch.isGone()).toBe(false);
  watch.close();
  expect(await watch.isGone()).toBe(false);
});

test("an engine that does not answer at all is gone", async () => {
  server.close();
  expect(await watchEngine(engine).isGone()).toBe(true);
  expect(await engineAnswers(engine, 50, new AbortController().signal)).toBe(false);
});

test("an engine that answers does so at once", async () => {
  expect(await engineAnswers(engine, 5000, new AbortController().signal)).toBe(true);
});
