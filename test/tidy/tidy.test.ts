/** The rules of the house that a linter does not know. Each says why it is one. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { sourceFiles } from "./source-files.ts";

const root = join(import.meta.dirname, "../..");
const files = ["packages", "services", "infra", "test"].flatMap((folder) => sourceFiles(join(root, folder)));
const named = files.map((file) => ({ path: relative(root, file), text: readFileSync(file, "utf8") }));
const shipped = named.filter(({ path }) => !path.includes(".test.") && !path.includes("/testing/"));

function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:from|import)\s+"([^"]+)"|import\("([^"]+)"\)/g)].map(
    (match) => match[1] ?? match[2] ?? "",
  );
}

function offenders(rule: (file: { path: string; text: string }) => string | null): string[] {
  return shipped.map(rule).filter((found) => found !== null);
}

describe("imports", () => {
  test("services never import services", () => {
    const found = offenders(({ path, text }) => {
      const own = /^services\/([^/]+)\//.exec(path)?.[1];
      if (own === undefined) return null;
      const foreign = importsOf(text).find(
        (one) =>
          /services\/(?!.*testing)/.test(one) || (/^@berth\//.test(one) && !one.startsWith("@berth/shared/")),
      );
      return foreign === undefined ? null : `${path} imports ${foreign}`;
    });
    expect(found).toEqual([]);
  });

  test("domain ← contracts ← kit: shared's rooms import only downwards", () => {
    const allowed: Record<string, RegExp> = {
      domain: /^(zod|\.\/|\.\.\/domain\/)/,
      contracts: /^(zod|\.\/|\.\.?\/(\.\.\/)?(domain|contracts|http)?)/,
    };
    const found = offenders(({ path, text }) => {
      const room = /^packages\/shared\/src\/(domain|contracts)\//.exec(path)?.[1];
      if (room === undefined) return null;
      const bad = importsOf(text).find((one) => !allowed[room]?.test(one) || one.includes("kit/"));
      return bad === undefined ? null : `${path} imports ${bad}`;
    });
    expect(found).toEqual([]);
  });

  test("core is pure: no kit, no outbound, no clock, no randomness, no environment, no await", () => {
    const found = offenders(({ path, text }) => {
      if (!/^services\/[^/]+\/src\/core\//.test(path)) return null;
      const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
      const bad = importsOf(text).find((one) =>
        /shared\/kit|outbound|inbound|dockerode|node:(fs|net|child_process|http)/.test(one),
      );
      if (bad !== undefined) return `${path} imports ${bad}`;
      const impure =
        /\bDate\.now\(|\bnew Date\(\)|Math\.random\(|process\.env|\bawait\b|performance\.now\(/.exec(code);
      return impure === null ? null : `${path} uses ${impure[0]}`;
    });
    expect(found).toEqual([]);
  });

  test("a library has one importer: dockerode in the outbound files of those who talk to an engine, NATS in the kit", () => {
    const found = offenders(({ path, text }) => {
      const imports = importsOf(text);
      const docker =
        imports.includes("dockerode") && !/outbound\/(docker|engine)[^/]*\.ts$|^infra\/|^test\//.test(path);
      const nats =
        imports.some((one) => /^@nats-io\/(transport-node|jetstream)/.test(one)) &&
        !/^packages\/shared\/src\/kit\/|^test\//.test(path);
      return docker || nats ? path : null;
    });
    expect(found).toEqual([]);
  });

  test("process.env is read in config, main and the command line only", () => {
    const allowed =
      /^(packages\/cli\/|infra\/|test\/)|\/(config|main)\.ts$|kit\/(service|crash-point|telemetry)\.ts$/;
    const found = offenders(({ path, text }) =>
      /process\.env\b/.test(text) && !allowed.test(path) ? path : null,
    );
    expect(found).toEqual([]);
  });
});

describe("files", () => {
  test("no file is longer than 400 lines", () => {
    expect(named.filter(({ text }) => text.split("\n").length > 400).map(({ path }) => path)).toEqual([]);
  });

  test("a file opens with what it is", () => {
    const found = offenders(({ path, text }) => (/^(#!.*\n)?(\/\*\*|\/\/)/.test(text) ? null : path));
    expect(found).toEqual([]);
  });

  test("names are kebab-case, and nothing is exported by default", () => {
    const found = offenders(({ path, text }) => {
      const name = path.split("/").at(-1) ?? "";
      return /^[a-z0-9.-]+$/.test(name) && !/^export default/m.test(text) ? null : path;
    });
    expect(found).toEqual([]);
  });

  test("subject strings live in contracts only", () => {
    const found = offenders(({ path, text }) =>
      /["`]berth\.v1\./.test(text) &&
      !path.startsWith("packages/shared/src/") &&
      !path.startsWith("test/contracts")
        ? path
        : null,
    );
    expect(found).toEqual([]);
  });

  test("every service has a README, and every migration only its own schema's tables", () => {
    for (const service of readdirSync(join(root, "services"))) {
      expect(existsSync(join(root, "services", service, "README.md")), `${service}/README.md`).toBe(true);
    }
  });

  test("nothing names a package registry's host, so that a mirror is only a setting", () => {
    const tracked = execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" })
      .split("\n")
      .filter(Boolean);
    const hosts = new RegExp(
      ["registry\\.npm" + "js\\.org", "deb\\.deb" + "ian\\.org", "security\\.deb" + "ian\\.org"].join("|"),
    );
    const found = tracked.filter(
      (path) => existsSync(join(root, path)) && hosts.test(readFileSync(join(root, path), "utf8")),
    );
    expect(found).toEqual([]);
  });
});
