import { expect, test } from "vitest";
import { changeText, wholeText } from "./nft-table.ts";
import { portTable } from "./port-rules.ts";

const ports = Array.from({ length: 200 }, (_, i) => ({
  device: `veth${i}`,
  mac: `02:42:0a:80:00:${(i + 2).toString(16).padStart(2, "0")}`,
  address: `10.128.0.${i + 2}`,
}));

const linesOf = (text: string) => text.split("\n").length;

test("the number of rules is the same for one container and for two hundred", () => {
  const [few, many] = [ports.slice(0, 1), ports].map((some) =>
    wholeText(portTable(some, ["10.128.0.1"])),
  ) as [string, string];
  expect(linesOf(many)).toBe(linesOf(few));
  expect(many).toContain('"veth199" . 02:42:0a:80:00:c9 . 10.128.0.201');
});

test("a set without elements has none, for nft refuses an empty list", () => {
  expect(wholeText(portTable([], []))).not.toContain("elements");
});

test("a port's addresses are there before it is guarded: a container is never cut off in between", () => {
  const text = changeText(portTable([], []), portTable(ports.slice(0, 2), [])) ?? "";
  expect(text.indexOf(" bound ")).toBeLessThan(text.indexOf(" guarded "));
  expect(text).toContain('"veth0" . 02:42:0a:80:00:02 . 10.128.0.2, "veth1" . ');
});
