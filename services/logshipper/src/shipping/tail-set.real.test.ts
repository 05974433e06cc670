/** Real containers' output on a real engine: followed, kept across restarts and removal, without repeats. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogLines } from "@berth/shared/contracts/log.ts";
import { HostId } from "@berth/shared/domain/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { startTestEngine, type TestEngine, until } from "@berth/shared/testing/real-engine.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { z } from "zod";
import { LOST_MARK } from "../core/assemble-lines.ts";
import { LogSource } from "../outbound/docker.ts";
import { PlaceFile } from "../outbound/place-file.ts";
import { RingStore } from "../outbound/ring-store.ts";
import { LiveSender } from "./live-sender.ts";
import { TailSet } from "./tail-set.ts";

const ENVIRONMENT = `env_${"0".repeat(26)}`;
const HOST = HostId.parse(`hst_${"0".repeat(26)}`);
let engine: TestEngine;
let folder: string;
let image: string;

beforeAll(async () => {
  engine = await startTestEngine((process.pid % 30) + 221);
  folder = await mkdtemp(join(tmpdir(), "berth-logs-"));
  image = `${engine.registry}/org_logs/svc_logs@${await engine.pushImage("org_logs/svc_logs", ["CMD sh"])}`;
  await engine.docker("pull", image);
}, 60_000);

afterAll(async () => {
  await engine?.close();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

async function startShipper() {
  const rings = new RingStore(folder);
  const places = new PlaceFile(folder);
  await places.open(await rings.open());
  const told: z.infer<typeof LogLines.payload>[] = [];
  const bus = {
    connected: true,
    signal: (_signal: unknown, payload: unknown) => void told.push(payload as never),
  };
  const live = new LiveSender(bus, HOST);
  const source = new LogSource(engine.socket, "pod-logs");
  const tails = new TailSet({ source, rings, live, places, log: silentLog });
  const looking = new Reconciler({ name: "look", everyMs: 2000, log: silentLog, run: tails.look });
  void tails.followChanges(looking.wake);
  const close = async () => {
    await looking.close();
    await tails.close();
    live.close();
  };
  return { rings, told, close };
}

function run(serviceId: string, script: string, ...options: string[]): Promise<string> {
  const labels = {
    pod: "pod-logs",
    job: "job_x",
    environment: ENVIRONMENT,
    service: serviceId,
    process: "web",
    slot: "2",
    "release-version": "7",
  };
  const flags = Object.entries(labels).flatMap(([name, value]) => ["--label", `berth.${name}=${value}`]);
  return engine.docker("run", "-d", "--network", "none", ...flags, ...options, image, "sh", "-c", script);
}

const service = (digit: string) => `svc_${digit.repeat(26)}`;

test("lines of a short-lived container are live and kept after its removal", async () => {
  const shipper = await startShipper();
  const id = await run(service("1"), "echo out; echo err >&2; printf unfinished");
  await until("live lines", async () => expect(shipper.told.flatMap(({ lines }) => lines)).toHaveLength(3));
  const [first] = shipper.told.flatMap(({ lines }) => lines);
  expect(first).toMatchObject({ instance: "web.2", release: 7 });
  await engine.docker("rm", "-f", id.trim());
  const kept = await shipper.rings.tail(service("1"), 10);
  expect(kept.map(({ text, stream }) => `${stream} ${text}`).sort()).toEqual([
    "stderr err",
    "stdout out",
    "stdout unfinished",
  ]);
  await shipper.close();
}, 30_000);

test("a restarted shipper neither repeats nor loses a line", async () => {
  const counted = "i=0; while [ $i -lt 3000 ]; do echo n $i; i=$((i+1)); done; sleep 2; echo last; sleep 60";
  const first = await startShipper();
  await run(service("2"), counted);
  await until("some lines", async () => expect((await first.rings.tail(service("2"), 1)).length).toBe(1));
  await first.close();
  const second = await startShipper();
  await until("the last line", async () =>
    expect((await second.rings.tail(service("2"), 1))[0]?.text).toBe("last"),
  );
  const kept = (await second.rings.tail(service("2"), 1001)).map(({ text }) => text);
  expect(kept).toEqual([...Array.from({ length: 1000 }, (_, i) => `n ${2000 + i}`), "last"]);
  await second.close();
}, 40_000);

test("a line of 10 MB is one cut line, and the next one is whole", async () => {
  const shipper = await startShipper();
  await run(
    service("3"),
    "i=0; while [ $i -lt 160 ]; do printf '%065536d' 0; i=$((i+1)); done; echo; echo next",
  );
  await until("the line after", async () =>
    expect((await shipper.rings.tail(service("3"), 1))[0]?.text).toBe("next"),
  );
  const kept = await shipper.rings.tail(service("3"), 10);
  expect(kept).toHaveLength(2);
  expect(kept[0]?.text).toMatch(/^0{16384} …\[cut/);
  await shipper.close();
}, 40_000);

test("one that stopped and starts again is followed again", async () => {
  const shipper = await startShipper();
  const said = async () => (await shipper.rings.tail(service("4"), 10)).map(({ text }) => text);
  const id = (await run(service("4"), "echo begins; exec sleep 600")).trim();
  await until("the first line", async () => expect(await said()).toEqual(["begins"]));
  await engine.docker("stop", "-t", "0", id);
  // Two looks: by then it is known as one that ended.
  const secondLookAtMs = Date.now() + 4500;
  await until("two looks later", async () => expect(Date.now()).toBeGreaterThan(secondLookAtMs));
  await engine.docker("start", id);
  await until("the second line", async () => expect(await said()).toEqual(["begins", "begins"]));
  await shipper.close();
}, 40_000);

test("over rotations each line comes once or its absence is said; last words of one that is removed at once come", async () => {
  const shipper = await startShipper();
  const script = `trap 'echo bye; exit' TERM; i=0
    while [ $i -lt 3000 ]; do echo "$i ${"x".repeat(100)}"; i=$((i+1)); [ $((i % 100)) = 0 ] && sleep 0.05; done
    echo done; while :; do sleep 0.1; done`;
  const id = await run(service("5"), script, "--log-opt", "max-size=128k", "--log-opt", "max-file=2");
  const texts = () => shipper.told.flatMap(({ lines }) => lines.map(({ text }) => text.split(" ")[0]));
  await until("the last line", async () => expect(texts()).toContain("done"));
  await engine.docker("stop", id.trim());
  await engine.docker("rm", id.trim());
  await until("the last words", async () => expect(texts().at(-1)).toBe("bye"));
  const lost = LOST_MARK.split(" ")[0];
  const numbers = texts().slice(0, -2);
  const gaps = numbers.filter(
    (one, at) => at > 0 && one !== lost && Number(one) !== Number(numbers[at - 1]) + 1,
  );
  expect(gaps).toHaveLength(numbers.filter((one) => one === lost).length);
  expect(new Set(numbers).size).toBe(numbers.length - Math.max(0, gaps.length - 1));
  expect(shipper.told.every(({ droppedCount }) => droppedCount === 0)).toBe(true);
  await shipper.close();
}, 60_000);
