import type { LogLine } from "@berth/shared/contracts/log.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CUT_MARK, LineAssembler, MAX_LINE_BYTES } from "./assemble-lines.ts";
import { fitReply, MAX_REPLY_BYTES } from "./fit-reply.ts";
import { decodeKept, encodeKept } from "./kept-line.ts";
import { LiveQueue, MAX_BATCH_LINES, MAX_WAITING_LINES } from "./live-queue.ts";
import { parseEntries } from "./parse-entries.ts";
import { decodePlace, encodeBytes, laterPlace } from "./place.ts";

const AT = "2026-11-20T16:00:00.000000001Z";

function entry(text: string, stream: "stdout" | "stderr" = "stdout", time = AT): Buffer {
  return Buffer.from(`${JSON.stringify({ log: text, stream, time })}\n`);
}

/** As a reader does it: what is no whole entry yet is read again with what follows. */
function linesOf(chunks: readonly Buffer[]) {
  const assembler = new LineAssembler();
  let [rest, offset] = [Buffer.alloc(0), 0];
  const lines = chunks.flatMap((chunk) => {
    const data = Buffer.concat([rest, chunk]);
    const { parts, sizeBytes } = parseEntries(data, offset);
    rest = data.subarray(sizeBytes);
    offset += sizeBytes;
    return parts.flatMap((part) => assembler.add(part));
  });
  return [...lines, ...assembler.end()];
}

test("however the bytes are cut into chunks, the lines are the same", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replaceAll(/[\n\r]/g, ""))),
      fc.integer({ min: 1, max: 50 }),
      (texts, size) => {
        const whole = Buffer.concat(texts.map((text) => entry(`${text}\n`)));
        const chunks: Buffer[] = [];
        for (let at = 0; at < whole.length; at += size) chunks.push(whole.subarray(at, at + size));
        expect(linesOf(chunks).map(({ text }) => text)).toEqual(texts);
      },
    ),
  );
});

test("pieces of a long line are joined per stream, and cut with a mark at 16 KiB", () => {
  const [joined] = linesOf([entry("a".repeat(9)), entry("other\n", "stderr"), entry("b\n")]).filter(
    ({ stream }) => stream === "stdout",
  );
  expect(joined?.text).toBe("aaaaaaaaab");
  const pieces = Array.from({ length: 100 }, () => entry("x".repeat(16_000)));
  const [long] = linesOf([...pieces, entry("end\n")]);
  expect(long?.text).toBe("x".repeat(MAX_LINE_BYTES) + CUT_MARK);
  expect(linesOf([entry(`${"é".repeat(10_000)}\n`)])[0]?.text).toBe("é".repeat(8192) + CUT_MARK);
});

test("a line says from where to read again, so that an open line of the other stream is whole", () => {
  const [first, second] = [entry("open "), entry("other\n", "stderr")];
  const lines = linesOf([first, second, entry("end\n")]);
  const ends = [first.length + second.length, first.length + second.length + entry("end\n").length];
  expect(lines.map(({ text, from, end }) => ({ text, from, end }))).toEqual([
    { text: "other", from: 0, end: ends[0] },
    { text: "open end", from: ends[1], end: ends[1] },
  ]);
});

test("times have nine digits, whatever the engine leaves out; control characters stay as they are", () => {
  const [line] = linesOf([entry("a\0\u001b[\n", "stdout", "2026-11-20T16:00:00.12Z")]);
  expect(line).toMatchObject({ text: "a\0\u001b[", at: "2026-11-20T16:00:00.120000000Z" });
});

test("of two places of a container the later one counts; other text is only a time", () => {
  const place = (file: string, uptoBytes: number, at: string) => ({ file, fromBytes: 0, uptoBytes, at });
  expect(decodePlace(AT, encodeBytes(place("a.1", 7, AT)))).toEqual(place("a.1", 7, AT));
  expect(decodePlace(AT, "../etc:1:2")).toEqual(place("", 0, AT));
  expect(laterPlace(place("a", 7, "2"), place("a", 9, "1")).uptoBytes).toBe(9);
  expect(laterPlace(place("a", 7, "2"), place("b", 9, "1")).uptoBytes).toBe(7);
});

test("a kept line survives the disk; a half-written one is skipped", () => {
  const line = {
    at: AT,
    atMs: Date.parse(AT),
    container: "0123456789ab",
    instance: "web.1",
    release: 3,
    stream: "stderr" as const,
    text: 'a"\u001b\n',
    place: "a.1:7:9",
  };
  expect(decodeKept(encodeKept(line))).toEqual(line);
  expect(decodeKept(encodeKept(line).slice(0, -4))).toBeNull();
});

const logLine = (text: string): LogLine => ({
  atMs: 1,
  instance: "web.1",
  stream: "stdout",
  text,
  release: 1,
});

test("a full live queue drops and counts; nothing is counted twice", () => {
  const queue = new LiveQueue();
  for (let i = 0; i < MAX_WAITING_LINES + 7; i++) queue.add(logLine(String(i)));
  const first = queue.take();
  expect(first).toMatchObject({ droppedCount: 7 });
  expect(first.lines).toHaveLength(MAX_BATCH_LINES);
  queue.giveUp(first);
  expect(queue.take().droppedCount).toBe(MAX_BATCH_LINES + 7);
});

test("a reply holds the newest lines that fit", () => {
  const lines = Array.from({ length: 1000 }, (_, i) => logLine(`${i} ${"\0".repeat(500)}`));
  const { lines: kept, truncated } = fitReply(lines);
  expect(truncated).toBe(true);
  expect(kept.at(-1)?.text.startsWith("999 ")).toBe(true);
  expect(Buffer.byteLength(JSON.stringify(kept))).toBeLessThan(MAX_REPLY_BYTES + 1000);
});
