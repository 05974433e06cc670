import { expect, test } from "vitest";
import { HEAD_BYTES, readHead } from "./read-head.ts";

const head = (...lines: string[]) => Buffer.from(`GET / HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\nbody`);

test.each<[string, Buffer, object]>([
  [
    "a plain one",
    head("Host: shop.berth.localhost", "x: y"),
    { kind: "whole", hostname: "shop.berth.localhost" },
  ],
  ["with port, upper case and dots", head("HOST:Shop.X..:8000"), { kind: "whole", hostname: "shop.x" }],
  ["without a host", head("x: host"), { kind: "refused", reason: "no-host" }],
  ["with two", head("Host: a.x", "host: b.x"), { kind: "refused", reason: "two-hosts" }],
  ["not whole yet", Buffer.from("GET / HTTP/1.1\r\nHost: a.x\r\n"), { kind: "partial" }],
  ["endless", Buffer.alloc(HEAD_BYTES + 1, "a"), { kind: "refused", reason: "too-long" }],
  ["too long", head(`x: ${"a".repeat(HEAD_BYTES)}`), { kind: "refused", reason: "too-long" }],
])("a head %s", (_what, bytes, expected) => {
  expect(readHead(bytes)).toEqual(expected);
});

test("a body that looks like a header says nothing", () => {
  const bytes = Buffer.from("POST / HTTP/1.1\r\nHost: a.x\r\n\r\nHost: b.x\r\n\r\n");
  expect(readHead(bytes)).toEqual({ kind: "whole", hostname: "a.x" });
});
