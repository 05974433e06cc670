import { expect, it } from "vitest";
import { readPushRecord } from "./read-push-record.ts";

const digest = `sha256:${"a".repeat(64)}`;

it("finds the digest and passes progress on", () => {
  const shown: string[] = [];
  const read = (line: string) => readPushRecord(line, (text) => shown.push(text));
  expect(read('{"status":"Pushing"}')).toBeNull();
  expect(read(JSON.stringify({ progressDetail: {}, aux: { Tag: "x", Digest: digest, Size: 1 } }))).toBe(
    digest,
  );
  expect(read('{"aux":{"Digest":"sha256:short"}}')).toBeNull();
  expect(read("")).toBeNull();
  expect(read("not json")).toBeNull();
  expect(shown).toEqual(["Pushing"]);
});

it("turns an error inside the stream into a failure", () => {
  const line = '{"errorDetail":{"message":"unauthorized: authentication required"},"error":"unauthorized"}';
  expect(() => readPushRecord(line, () => undefined)).toThrow(/unauthorized: authentication required/);
});
