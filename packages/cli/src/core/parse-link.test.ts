import { expect, test } from "vitest";
import { parseForeignPort, parseServicePort } from "./parse-link.ts";

test.each([
  ["ledger:5432", { service: "ledger", port: 5432 }],
  ["ledger", null],
  ["ledger:0", null],
  ["ledger:65536", null],
  ["Ledger:80", null],
  ["a/ledger:80", null],
])("%s", (text, expected) => expect(parseServicePort(text)).toEqual(expected));

test.each([
  ["acme/production/ledger:5432", { org: "acme", environment: "production", service: "ledger", port: 5432 }],
  ["production/ledger:5432", null],
  ["acme/production/ledger", null],
  ["acme/production/x/ledger:1", null],
])("%s", (text, expected) => expect(parseForeignPort(text)).toEqual(expected));
