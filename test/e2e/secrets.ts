/**
 * A canary set with `berth vars set` is in the app's environment and nowhere else: not in what an engine shows, not in
 * any file of the machine's or a host's disk, not in a command line. The same sweep finds canaries that are planted.
 */
import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Customer } from "./customer.ts";
import type { E2eLab } from "./e2e-lab.ts";
import { getUntil } from "./edge.ts";
import { dockerfileApp } from "./small-apps.ts";

interface Given {
  readonly lab: () => E2eLab;
  readonly customer: () => Customer;
}

export function describeSecrets({ lab, customer }: Given): void {
  describe("secrets", () => {
    test("a canary is in the app's environment and nowhere else", async () => {
      const canary = newCanary();
      const app = await customer().app("vault", dockerfileApp);
      expect((await app.push()).code).toBe(0);
      const set = await customer().berth(["vars", "set", "vault", "-f", "-", "--json"], {
        input: `CANARY=${canary}\n`,
      });
      const { deployId } = JSON.parse(set) as { deployId: string };
      const watched = await customer().tryBerth(["deploys", "watch", deployId]).ended;
      expect(watched.code, watched.output).toBe(0);
      const hash = createHash("sha256").update(canary).digest("hex");
      const asked = new URL("/environment-hash?name=CANARY", app.service.url).href;
      await getUntil(lab().lab.host("h1").address, asked, ({ body }) => body === hash);
      await customer().berth(["logs", "vault"]);
      expect(set + (await customer().berth(["vars", "list", "vault", "--json"]))).not.toContain(canary);

      expect(await sweep(lab(), canary)).toEqual([]);
    });

    test("the sweep finds what is planted in each of these places", async () => {
      const canary = newCanary();
      const removers = await plant(lab(), canary);
      try {
        const found = await sweep(lab(), canary);
        console.log(found.join("\n"));
        for (const place of [
          /^file .*\/postgres\//,
          /^file .*\/nats\//,
          /^file .*\/registry\//,
          /^file .*\/objects\//,
          /^file .*\/run\/.*log/,
          /^file .*\/h2\/.*logs/,
          /^inspect h1/,
          /^command line of/,
        ])
          expect(found).toEqual(expect.arrayContaining([expect.stringMatching(place)]));
      } finally {
        for (const remove of removers) await remove();
      }
    });
  });
}

function newCanary(): string {
  return `canary${randomBytes(16).toString("hex")}`;
}

/** Every place where the value is found, as it is or in base64. The app's own memory is not looked at. */
async function sweep(lab: E2eLab, canary: string): Promise<string[]> {
  await lab.query("checkpoint");
  const forms = [canary, ...base64Forms(canary)];
  return [
    ...(await inFiles(forms, [lab.stateDir, "/tmp/berth-e2e-engine", "/var/log"])),
    ...(await inEngines(lab, forms)),
    ...(await inCommandLines(forms)),
  ];
}

/** What base64 makes of it at each of the three alignments, without the characters that depend on neighbours. */
function base64Forms(text: string): string[] {
  return [0, 1, 2].map((shift) =>
    Buffer.from("x".repeat(shift) + text)
      .toString("base64")
      .slice(4, -4),
  );
}

function inFiles(forms: readonly string[], folders: readonly string[]): Promise<string[]> {
  const patterns = forms.flatMap((form) => ["-e", form]);
  const args = ["-rlaF", "--devices=skip", ...patterns, ...folders];
  return new Promise((resolve, reject) => {
    const options = { env: { PATH: "/usr/bin:/bin", LC_ALL: "C" }, timeout: 120_000, maxBuffer: 2 ** 24 };
    execFile("grep", args, options, (error, stdout, stderr) => {
      // 2: files that went away while it looked.
      if (error?.killed === true) reject(new Error(`grep did not end: ${stderr}`));
      else
        resolve(
          stdout
            .split("\n")
            .filter(Boolean)
            .map((path) => `file ${path}`),
        );
    });
  });
}

async function inEngines(lab: E2eLab, forms: readonly string[]): Promise<string[]> {
  const engines: [string, (...args: string[]) => Promise<string>][] = [
    ["builds", lab.engine.docker],
    ...lab.lab.hosts.map(({ name }): [string, (...args: string[]) => Promise<string>] => [
      name,
      (...args) => lab.docker(name, ...args),
    ]),
  ];
  const found: string[] = [];
  for (const [name, docker] of engines) {
    const list = async (...args: string[]) => (await docker(...args)).split("\n").filter(Boolean);
    const ids = [...(await list("ps", "-aq")), ...(await list("images", "-q"))];
    for (const id of new Set(ids)) {
      const text = await docker("inspect", id).catch(() => "");
      const logs = await docker("logs", id).catch(() => "");
      if (forms.some((form) => text.includes(form))) found.push(`inspect ${name} ${id}`);
      if (forms.some((form) => logs.includes(form))) found.push(`container log ${name} ${id}`);
    }
  }
  return found;
}

async function inCommandLines(forms: readonly string[]): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map(async (pid) => [pid, await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")] as const),
  );
  return lines
    .filter(([, line]) => forms.some((form) => line.includes(form)))
    .map(([pid]) => `command line of process ${pid}`);
}

/** @returns what takes each away again */
async function plant(lab: E2eLab, canary: string): Promise<(() => Promise<unknown>)[]> {
  const host = lab.lab.host("h2").sharedDir;
  const files = [
    ["nats", "planted"],
    ["registry", "planted"],
    ["objects", "planted"],
    ["run", "planted.log"],
  ].map(([folder = "", name = ""]) => join(lab.stateDir, folder, name));
  files.push(join(host, "supervisor/logs/planted"));
  for (const path of files) await writeFile(path, `{"value":"${Buffer.from(canary).toString("base64")}"}`);
  await lab.query("create table public.planted (value text)");
  await lab.query("insert into public.planted values ($1)", [canary]);
  const [image = ""] = (await lab.docker("h1", "images", "-q")).split("\n");
  const container = (await lab.docker("h1", "create", "--env", `CANARY=${canary}`, image)).trim();
  const child = spawn("sleep", ["600"], { argv0: `sleep-${canary}`, stdio: "ignore" });
  return [
    async () => child.kill("SIGKILL"),
    () => lab.docker("h1", "rm", "--force", container),
    () => lab.query("drop table public.planted"),
    () => Promise.all(files.map((path) => rm(path, { force: true }))),
  ];
}
