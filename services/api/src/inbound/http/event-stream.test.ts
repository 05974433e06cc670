import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { EventStream } from "./event-stream.ts";

async function withReader(
  work: (given: {
    stream: EventStream<object>;
    raw: ServerResponse;
    reader: import("node:http").IncomingMessage;
  }) => Promise<void>,
): Promise<void> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const asked = once(server, "request");
  const request = get({ port: (server.address() as AddressInfo).port, host: "127.0.0.1" });
  const answered = once(request, "response");
  const [, raw] = (await asked) as [unknown, ServerResponse];
  const stream = new EventStream<object>(raw, {});
  const [reader] = (await answered) as [import("node:http").IncomingMessage];
  try {
    await work({ stream, raw, reader });
  } finally {
    reader.destroy();
    server.closeAllConnections();
    server.close();
  }
}

test("a reader that takes nothing costs a bounded amount of memory", async () => {
  await withReader(async ({ stream, raw, reader }) => {
    reader.pause();
    let droppedCount = 0;
    for (let i = 0; i < 20_000; i++) if (!stream.offer({ text: "x".repeat(1000) })) droppedCount += 1;
    expect(droppedCount).toBeGreaterThan(10_000);
    expect(raw.writableLength).toBeLessThan(1.1 * 1024 * 1024);
  });
});

test("a reader that left ends the stream", async () => {
  await withReader(async ({ stream, reader }) => {
    const ended = once(stream.ended, "abort");
    reader.destroy();
    await ended;
    expect(stream.offer({})).toBe(false);
  });
});

test("events are one JSON object per line", async () => {
  await withReader(async ({ stream, reader }) => {
    stream.send({ a: 1 });
    stream.offer({ b: "line\nbreak" });
    stream.end();
    expect(await reader.toArray().then((chunks) => Buffer.concat(chunks).toString())).toBe(
      '{"a":1}\n{"b":"line\\nbreak"}\n',
    );
  });
});
