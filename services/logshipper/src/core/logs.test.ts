import type { LogLine } from "@berth/shared/contracts/log.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CUT_MARK, LineAssembler, MAX_LINE_BYTES } from "./assemble-lines.ts";
import { fitReply, MAX_REPLY_BYTES } from "./fit-reply.ts";
import { decodeKept, encodeKept } from "./kept-line.ts";
import { LiveQueue, MAX_BATCH_LINES, MAX_WAITING_LINES } from "./live-queue.ts";
import { parseFrames, toSince } from "./parse-frames.ts";

const AT = "2026-11-20T16:00:00.000000001Z";

function frame(stream: 1 | 2, text: string | Buffer, at = AT): Buffer {
  const body = Buffer.concat([Buffer.from(`${at} `), Buffer.from(text)]);
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(body.length, 4);
  return Buffer.concat([head, body]);
}

function linesOf(chunks: readonly Buffer[]) {
  const assembler = new LineAssembler();
  let rest: Buffer = Buffer.alloc(0);
  const lines = chunks.flatMap((chunk) => {
    const parsed = parseFrames(rest, chunk);
    rest = parsed.rest;
    return parsed.frames.flatMap((part) => assembler.add(part));
  });
  return [...lines, ...assembler.end()];
}

test("however the bytes are cut into chunks, the lines are the same", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary" }).map((text) => text.replaceAll(/[\n\r]/g, ""))),
      fc.integer({ min: 1, max: 50 }),
      (texts, size) => {
        const whole = Buffer.concat(texts.map((text) => frame(1, `${text}\n`)));
        const chunks: Buffer[] = [];
        for (let at = 0; at < whole.length; at += size) chunks.push(whole.subarray(at, at + size));
        expect(linesOf(chunks).map(({ text }) => text)).toEqual(
          texts.map((text) => Buffer.from(text).toString()),
        );
      },
    ),
  );
});

test("pieces of a long line are joined per stream, and cut with a mark at 16 KiB", () => {
  const [joined] = linesOf([frame(1, "a".repeat(9)), frame(2, "other\n"), frame(1, "b\n")]).filter(
    ({ stream }) => stream === "stdout",
  );
  expect(joined?.text).toBe("aaaaaaaaab");
  const pieces = Array.from({ length: 100 }, () => frame(1, "x".repeat(16_000)));
  const [long] = linesOf([...pieces, frame(1, "end\n")]);
  expect(long?.text).toBe("x".repeat(MAX_LINE_BYTES) + CUT_MARK);
  expect(long?.text.length).toBeLessThan(20_000);
});

test("invalid UTF-8 is replaced, NUL and escapes stay as they are", () => {
  const [line] = linesOf([frame(1, Buffer.from([0x61, 0xff, 0x00, 0x1b, 0x5b, 0x0a]))]);
  expect(line?.text).toBe("a\ufffd\0\u001b[");
});

test("bytes that are no frames are an error, not memory", () => {
  expect(() => parseFrames(Buffer.alloc(0), Buffer.from("HTTP/1.1 500 Internal"))).toThrow("out of step");
});

test("since is exact to the nanosecond", () => {
  expect(toSince("2026-11-20T16:00:00.123456789Z")).toBe("1795190400.123456789");
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
