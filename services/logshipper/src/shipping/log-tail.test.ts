import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "@berth/shared/kit/log.ts";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DAMAGED_MARK, LOST_MARK } from "../core/assemble-lines.ts";
import type { KeptLine } from "../core/kept-line.ts";
import { decodePlace } from "../core/place.ts";
import { PlaceFile } from "../outbound/place-file.ts";
import { JsonFile } from "../testing/json-file.ts";
import { LogTail } from "./log-tail.ts";

const KEY = "0123456789ab";
const CONTAINER = {
  id: KEY.padEnd(64, "0"),
  isRunning: true,
  environmentId: `env_${"0".repeat(26)}`,
  serviceId: `svc_${"0".repeat(26)}`,
  instance: "web.1",
  release: 1,
};
const BUFFER = Buffer.alloc(256 * 1024);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "berth-tail-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** A shipper for one container: `again` is its start after `kill -9`, with what is on the disk by then. */
class Shipper {
  readonly kept: KeptLine[] = [];
  readonly path: string;
  failing = false;
  places = new PlaceFile(folder);
  tail: LogTail;

  constructor(path: string) {
    this.path = path;
    this.tail = this.#started();
  }

  #started(): LogTail {
    const append = async (_service: string, lines: readonly KeptLine[]) => {
      if (this.failing) throw new Error("no space left");
      this.kept.push(...lines);
    };
    const given = { rings: { append }, live: { add: () => {} }, places: this.places, log: silentLog };
    return new LogTail(given, CONTAINER, this.path);
  }

  async again(): Promise<void> {
    await this.tail.close();
    this.places = new PlaceFile(folder);
    const last = this.kept.at(-1);
    await this.places.open(new Map(last === undefined ? [] : [[KEY, decodePlace(last.at, last.place)]]));
    this.tail = this.#started();
  }

  async read(buffer = BUFFER): Promise<void> {
    while (await this.tail.read(buffer));
  }

  texts(): string[] {
    return this.kept.map(({ text }) => text);
  }
}

test("lines, streams and times are the engine's; a line without its newline comes when the container ended", async () => {
  const file = new JsonFile(folder);
  file.write("out\n");
  file.write("err\r\n", "stderr");
  file.write('a "quoted" \\ line\u001b[0m {"log":"\n');
  file.write("unfinished");
  const shipper = new Shipper(file.path);
  await shipper.read();
  expect(shipper.kept.map(({ stream, text, at }) => [stream, text, at])).toEqual([
    ["stdout", "out", "2026-11-20T16:00:00.000001000Z"],
    ["stderr", "err", "2026-11-20T16:00:00.000002000Z"],
    ["stdout", 'a "quoted" \\ line\u001b[0m {"log":"', "2026-11-20T16:00:00.000003000Z"],
  ]);
  await shipper.tail.end();
  expect(shipper.texts().at(-1)).toBe("unfinished");
  await shipper.tail.close();
});

test("whatever order of writing, reading, restarts and slow rotations: every line once, in order", async () => {
  const acts = fc.constantFrom("line", "line", "piece", "error", "read", "again", "fail", "rotate" as const);
  await fc.assert(
    fc.asyncProperty(fc.array(acts, { maxLength: 40 }), async (steps) => {
      const file = new JsonFile(await mkdtemp(join(folder, "run-")), { maxFiles: 100 });
      const shipper = new Shipper(file.path);
      const expected: string[] = [];
      const errors: string[] = [];
      let open = "";
      let number = 0;
      for (const step of steps) {
        number += 1;
        if (step === "line") {
          file.write(`${number}\n`);
          expected.push(`${open}${number}`);
          open = "";
        } else if (step === "piece") {
          file.write(`${number},`);
          open += `${number},`;
        } else if (step === "error") {
          file.write(`${number}\n`, "stderr");
          errors.push(String(number));
        } else if (step === "rotate") {
          // A line that is open over a rotation and a restart loses its beginning: kept out of here.
          if (open === "") file.rotate();
        } else if (step === "read") await shipper.read();
        else if (step === "again") await shipper.again();
        else {
          shipper.failing = true;
          await shipper.read().catch(() => {});
          shipper.failing = false;
        }
      }
      await shipper.read();
      const of = (stream: string) =>
        shipper.kept.filter((line) => line.stream === stream).map((line) => line.text);
      expect([of("stdout"), of("stderr")]).toEqual([expected, errors]);
      await shipper.tail.close();
      await rm(join(folder, "positions.json"), { force: true });
    }),
    { numRuns: 150 },
  );
});

const numbers = (from: number, upto: number) =>
  Array.from({ length: upto - from }, (_, i) => `line ${from + i}`);

function writeNumbers(file: JsonFile, from: number, upto: number): void {
  for (const text of numbers(from, upto)) file.write(`${text}\n`);
}

test("two rotations between two looks lose nothing while the file is open; a third is marked where it is", async () => {
  const file = new JsonFile(folder);
  const shipper = new Shipper(file.path);
  writeNumbers(file, 0, 5);
  await shipper.read();
  writeNumbers(file, 5, 10);
  for (const from of [10, 20]) {
    // Births are told apart by the kernel's clock, which ticks slower than this test writes.
    await new Promise((resolve) => setTimeout(resolve, 20));
    file.rotate();
    writeNumbers(file, from, from + 10);
  }
  await shipper.read();
  expect(shipper.texts()).toEqual(numbers(0, 30));
  for (const from of [30, 40, 50]) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    file.rotate();
    writeNumbers(file, from, from + 10);
  }
  await shipper.read();
  expect(shipper.texts()).toEqual([...numbers(0, 30), LOST_MARK, ...numbers(40, 60)]);
  await shipper.tail.close();
});

test("what turned over while the shipper was away is marked, unless something it had kept is still there", async () => {
  const file = new JsonFile(folder);
  const shipper = new Shipper(file.path);
  writeNumbers(file, 0, 5);
  await shipper.read();
  await shipper.tail.close();
  for (const from of [5, 10, 15]) {
    file.rotate();
    writeNumbers(file, from, from + 5);
  }
  await shipper.again();
  await shipper.read();
  expect(shipper.texts()).toEqual([...numbers(0, 5), LOST_MARK, ...numbers(10, 20)]);
  await shipper.tail.close();
});

test("a place of an older shipper is a time alone: it goes on after it, without a mark", async () => {
  const file = new JsonFile(folder);
  const shipper = new Shipper(file.path);
  writeNumbers(file, 0, 5);
  await shipper.places.open(new Map([[KEY, decodePlace("2026-11-20T16:00:00.000003000Z", undefined)]]));
  await shipper.read();
  expect(shipper.texts()).toEqual(numbers(3, 5));
  await shipper.tail.close();
});

test("a truncated file is read from its beginning, marked", async () => {
  const file = new JsonFile(folder);
  const shipper = new Shipper(file.path);
  writeNumbers(file, 0, 5);
  await shipper.read();
  await truncate(file.path, 0);
  writeNumbers(file, 5, 7);
  await shipper.read();
  expect(shipper.texts()).toEqual([...numbers(0, 5), LOST_MARK, ...numbers(5, 7)]);
  await shipper.tail.close();
});

test("the removal of the files takes nothing away that was not read yet", async () => {
  const file = new JsonFile(folder);
  const shipper = new Shipper(file.path);
  await shipper.read();
  writeNumbers(file, 0, 5);
  await rm(file.path);
  await shipper.read();
  expect(shipper.texts()).toEqual(numbers(0, 5));
  await shipper.tail.close();
});

test("damage is skipped and said once, and no line behind it is lost", async () => {
  const file = new JsonFile(folder);
  file.write("before\n");
  file.writeRaw('{"log":"cut off by a power c');
  file.write("rescued\n");
  file.writeRaw('\0\0\0\0\n{"log":7,"stream":"stdout","time":"x"}\nnull\n[]\n{"log":"\\\n');
  file.write("after\n");
  file.writeRaw("x".repeat(3 * BUFFER.length));
  file.writeRaw("\n");
  file.write("last\n");
  const shipper = new Shipper(file.path);
  await shipper.read();
  expect(shipper.texts()).toEqual([
    "before",
    ...[DAMAGED_MARK, "rescued"],
    ...[DAMAGED_MARK, "after"],
    ...[DAMAGED_MARK, "last"],
  ]);
  await shipper.tail.close();
});

test("an entry under way waits for its end", async () => {
  const file = new JsonFile(folder);
  const shipper = new Shipper(file.path);
  file.writeRaw('{"log":"slow\\n","stream":"stdout","ti');
  await shipper.read();
  expect(shipper.texts()).toEqual([]);
  file.writeRaw('me":"2026-11-20T16:00:00Z"}\n');
  await shipper.read();
  expect(shipper.kept.map(({ text, at }) => [text, at])).toEqual([
    ["slow", "2026-11-20T16:00:00.000000000Z"],
  ]);
  await shipper.tail.close();
});

test("what cannot be kept is tried again, also when the files are gone by then", async () => {
  const file = new JsonFile(folder);
  const shipper = new Shipper(file.path);
  writeNumbers(file, 0, 5);
  await shipper.read();
  writeNumbers(file, 5, 10);
  shipper.failing = true;
  await expect(shipper.read()).rejects.toThrow("no space left");
  await rm(file.path);
  shipper.failing = false;
  await shipper.read();
  expect(shipper.texts()).toEqual(numbers(0, 10));
  await shipper.tail.close();
});
