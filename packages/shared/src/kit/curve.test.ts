import { fromCurveSeed } from "@nats-io/nkeys";
import { expect, test } from "vitest";
import { createCurve, curveFromSeed } from "./curve.ts";

const [secrets, host, other] = [createCurve(), createCurve(), createCurve()];
const value = { variables: { PASSWORD: "pä$$" } };

test("only the one it was sealed to opens it, from the one who sealed it", () => {
  const sealed = secrets.sealJson(value, host.publicKey);
  expect(host.openJson(sealed, secrets.publicKey)).toEqual(value);
  expect(curveFromSeed(host.seed()).openJson(sealed, secrets.publicKey)).toEqual(value);
  expect(() => other.openJson(sealed, secrets.publicKey)).toThrow("not meant for this key");
  expect(() => host.openJson(sealed, other.publicKey)).toThrow("not meant for this key");
});

test("every message has a nonce of its own, and a changed byte does not open", () => {
  const sealed = secrets.sealJson(value, host.publicKey);
  expect(secrets.sealJson(value, host.publicKey)).not.toBe(sealed);
  const bytes = Buffer.from(sealed, "base64");
  for (const at of [0, 5, bytes.length - 1]) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(() => host.openJson(changed.toString("base64"), secrets.publicKey)).toThrow();
  }
  expect(() => host.openJson("", secrets.publicKey)).toThrow();
});

test("nkeys opens what we seal, and we open what nkeys seals", () => {
  const [mine, theirs] = [createCurve(), createCurve()];
  const nkeys = fromCurveSeed(new TextEncoder().encode(theirs.seed()));
  const clear = nkeys.open(Buffer.from(mine.sealJson(value, theirs.publicKey), "base64"), mine.publicKey);
  expect(JSON.parse(Buffer.from(clear ?? []).toString())).toEqual(value);
  const sealed = nkeys.seal(Buffer.from(JSON.stringify(value)), mine.publicKey);
  expect(mine.openJson(Buffer.from(sealed).toString("base64"), theirs.publicKey)).toEqual(value);
});

test("what is not a curve's public key is refused", () => {
  const broken = `${host.publicKey.slice(0, -1)}${host.publicKey.endsWith("A") ? "B" : "A"}`;
  expect(() => secrets.sealJson(value, broken)).toThrow();
  expect(() => secrets.sealJson(value, "X")).toThrow();
});
