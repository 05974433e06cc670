import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { contractRegistry } from "@berth/shared/contracts/all.ts";
import { ERRORS } from "@berth/shared/contracts/errors.ts";
import { subjectTokens } from "@berth/shared/contracts/event.ts";
import { permissionsFor } from "@berth/shared/contracts/permissions.ts";
import { describe, expect, test } from "vitest";
import { sourceFiles } from "../tidy/source-files.ts";
import { renderErrors, renderEvents } from "./render-docs.ts";

const root = join(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");

describe("documents", () => {
  test("docs/EVENTS.md and docs/ERRORS.md say what the contracts say (node test/contracts/write-docs.ts)", () => {
    expect(read("docs/EVENTS.md")).toBe(renderEvents());
    expect(read("docs/ERRORS.md")).toBe(renderErrors());
  });
});

describe("contracts", () => {
  const services = readdirSync(join(root, "services"));
  const codeOf = new Map(
    services.map((service) => [
      service,
      sourceFiles(join(root, "services", service, "src"))
        .filter((file) => !file.includes(".test.") && !file.includes("/testing/"))
        .map((file) => readFileSync(file, "utf8"))
        .join("\n"),
    ]),
  );

  test.each(contractRegistry().map((contract) => [contract.name, contract] as const))(
    "%s: who emits and consumes it in code is who the contract says",
    (name, contract) => {
      if (name === "SpansExported") return; // emitted by the kit for every process
      const uses = (service: string) => new RegExp(`\\b${name}\\b`).test(codeOf.get(service) ?? "");
      const named = new Set<string>([...contract.emittedBy, ...contract.consumedBy]);
      for (const service of services) {
        const told = named.has(service)
          ? `${name} names ${service}, whose code never mentions it`
          : `${service} uses ${name}, which does not name it`;
        expect(uses(service), told).toBe(named.has(service));
      }
    },
  );

  test("every event's subject lies in its stream and carries ids only", () => {
    for (const contract of contractRegistry()) {
      expect(contract.subject.startsWith("berth.v1."), contract.name).toBe(true);
      for (const token of subjectTokens(contract.subject)) expect(token).toMatch(/Id$|^source$/);
    }
  });

  test("a host's agent and logshipper may use no subject of another host, and no JetStream API", () => {
    for (const service of ["agent", "logshipper"] as const) {
      const { publish, subscribe } = permissionsFor(service, "hst_me");
      for (const subject of [...publish, ...subscribe]) {
        expect(subject.startsWith("$JS"), subject).toBe(false);
        if (/^berth\.v1\.(host|job|log-tail|passage)\./.test(subject)) expect(subject).toContain("hst_me");
      }
      expect(subscribe.filter((subject) => subject.startsWith("_INBOX"))).toEqual([
        `_INBOX.${service}.hst_me.>`,
      ]);
    }
  });

  test("every error of the catalogue says what to do, and every code that the code throws is in it", () => {
    for (const [code, entry] of Object.entries(ERRORS)) {
      expect(entry.next.length, code).toBeGreaterThan(10);
    }
    const thrown = [...codeOf.values()].join("\n").matchAll(/new BerthError\(\s*"([a-z-]+)"/g);
    for (const [, code] of thrown) expect(Object.keys(ERRORS)).toContain(code);
  });
});
