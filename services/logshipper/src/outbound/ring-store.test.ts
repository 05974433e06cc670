import { appendFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { KeptLine } from "../core/kept-line.ts";
import { LINES_PER_FILE, RingStore } from "./ring-store.ts";

const SERVICE = `svc_${"0".repeat(26)}`;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "berth-ring-"));
});
afterEach(() => rm(folder, { recursive: true }));

function line(number: number, container = "c1"): KeptLine {
  const at = `2026-11-20T16:00:00.${String(number).padStart(9, "0")}Z`;
  return {
    at,
    atMs: Date.parse(at),
    container,
    instance: "web.1",
    release: 1,
    stream: "stdout",
    text: `line ${number}`,
    place: `f.1:${number}:${number}`,
  };
}

test("at least the last 1,000 lines are kept, in at most two files, also across a restart", async () => {
  const rings = new RingStore(folder);
  await rings.open();
  for (let i = 0; i < 3500; i += 100)
    await rings.append(
      SERVICE,
      Array.from({ length: 100 }, (_, j) => line(i + j)),
    );
  const again = new RingStore(folder);
  const places = await again.open();
  await again.append(SERVICE, [line(3500)]);
  const kept = await again.tail(SERVICE, LINES_PER_FILE);
  expect(kept.map(({ text }) => text)).toEqual(Array.from({ length: 1000 }, (_, i) => `line ${2501 + i}`));
  expect(places.get("c1")).toEqual({ file: "f.1", fromBytes: 3499, uptoBytes: 3499, at: line(3499).at });
  expect(await readdir(folder)).toHaveLength(2);
});

test("a line cut by a power cut is skipped and the next one is whole", async () => {
  const rings = new RingStore(folder);
  await rings.open();
  await rings.append(SERVICE, [line(1)]);
  await appendFile(join(folder, `${SERVICE}.new.jsonl`), '["2026-11-20T16:0');
  const again = new RingStore(folder);
  await again.open();
  await again.append(SERVICE, [line(2)]);
  expect((await again.tail(SERVICE, 10)).map(({ text }) => text)).toEqual(["line 1", "line 2"]);
});

test("lines of several containers come out in the order of their times", async () => {
  const rings = new RingStore(folder);
  await rings.open();
  await rings.append(SERVICE, [line(2, "a"), line(4, "a")]);
  await rings.append(SERVICE, [line(1, "b"), line(3, "b")]);
  expect((await rings.tail(SERVICE, 3)).map(({ text }) => text)).toEqual(["line 2", "line 3", "line 4"]);
});
