/**
 * The lab's engine layer on the real machine: two Docker hosts, a container that answers across them, a cut, a
 * power cut, and nothing left afterwards. Needs root and mmdebstrap; its own index keeps it apart from other labs.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { command } from "./command.ts";
import { type Lab, type LabHost, labDown, labUp, openLab } from "./lab.ts";
import { hostNames } from "./lab-names.ts";
import { pidsInNetns } from "./namespace-processes.ts";

const index = 8;
const image = "lab-busybox:1";
const subnets = { h1: "10.218.1.0/24", h2: "10.218.2.0/24" };
const answerTimeoutMs = 10_000;
const testTimeoutMs = 60_000;

vi.setConfig({ testTimeout: testTimeoutMs });

let stateDir: string;
let lab: Lab;

beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "berth-lab-"));
  const cacheDir = join(tmpdir(), "berth-lab-cache");
  lab = await labUp({ hosts: 2, stateDir, index, cacheDir, say: (line) => console.log(line) });
  await lab.route({ [subnets.h1]: "h1", [subnets.h2]: "h2" });
  await Promise.all(lab.hosts.map(startWeb));
}, 300_000);

afterAll(async () => {
  await labDown(stateDir);
  rmSync(stateDir, { recursive: true, force: true });
}, 60_000);

async function docker(host: LabHost, argv: readonly string[], input?: Buffer): Promise<string> {
  const options = { timeoutMs: 30_000, ...(input === undefined ? {} : { input }) };
  return await command(["docker", `--host=unix://${host.dockerSocket}`, ...argv], options);
}

/** A container `web` that answers with its host's name, and one to ask from. */
async function startWeb(host: LabHost): Promise<void> {
  const tar = await busyboxTar();
  await docker(host, ["import", "-", image], tar);
  const subnet = subnets[host.name as "h1" | "h2"];
  await docker(host, ["network", "create", "--subnet", subnet, "lab"]);
  const run = ["run", "--detach", "--network=lab", "--restart=always", "--memory=64m"];
  const serve = `while true; do echo "from ${host.name}" | nc -l -p 8080; done`;
  await docker(host, [
    ...run,
    "--name=web",
    `--ip=${webAddress(host)}`,
    image,
    "/bin/busybox",
    "sh",
    "-c",
    serve,
  ]);
  await docker(host, [...run, "--name=asker", image, "/bin/busybox", "sleep", "3600"]);
}

async function busyboxTar(): Promise<Buffer> {
  const { stdout } = await lab
    .host("h1")
    .exec(["sh", "-c", "tar -C / -c usr/bin/busybox --transform s,usr/,, | base64"]);
  return Buffer.from(stdout, "base64");
}

function webAddress(host: LabHost): string {
  return subnets[host.name as "h1" | "h2"].replace("0/24", "9");
}

/** What `from`'s container hears from `to`'s container: its answer, or "" when there is none within a second. */
async function ask(from: LabHost, to: LabHost): Promise<string> {
  const script = `nc -w 1 ${webAddress(to)} 8080 </dev/null`;
  return (await docker(from, ["exec", "asker", "/bin/busybox", "sh", "-c", `${script} || true`])).trim();
}

async function waitForAnswer(from: LabHost, to: LabHost): Promise<string> {
  const deadline = Date.now() + answerTimeoutMs;
  for (;;) {
    const answer = await ask(from, to).catch(() => "");
    if (answer !== "" || Date.now() > deadline) return answer;
    await delay(100);
  }
}

describe("a lab of two hosts", () => {
  test("has an engine of its own per host", async () => {
    const [h1, h2] = [lab.host("h1"), lab.host("h2")];
    const ids = await Promise.all(
      [h1, h2].map((host) => docker(host, ["info", "--format={{.ID}} {{.Name}}"])),
    );
    expect(ids[0]?.trim()).toMatch(/ h1$/);
    expect(ids[1]?.trim()).toMatch(/ h2$/);
  });

  test("lets containers reach each other across hosts, by address", async () => {
    expect(await waitForAnswer(lab.host("h1"), lab.host("h2"))).toBe("from h2");
    expect(await waitForAnswer(lab.host("h2"), lab.host("h1"))).toBe("from h1");
  });

  test("reaches the machine, and sees the checkout read-only", async () => {
    const host = lab.host("h1");
    expect((await host.exec(["ping", "-c", "1", "-W", "1", lab.machineAddress])).code).toBe(0);
    const write = await host.exec(["touch", `${import.meta.dirname}/written`]);
    expect(write.stderr).toContain("Read-only file system");
    expect((await host.exec([process.execPath, "--version"])).stdout.trim()).toBe(process.version);
  });

  test.each(["both", "in", "out"] as const)(
    "cut %s: no answer; healed: an answer again",
    async (direction) => {
      const [h1, h2] = [lab.host("h1"), lab.host("h2")];
      await h2.cut(direction);
      expect(await ask(h1, h2)).toBe("");
      await h2.heal();
      expect(await waitForAnswer(h1, h2)).toBe("from h2");
    },
  );

  test("a power cut ends even a paused container; the disk and its containers come back", async () => {
    const [h1, h2] = [lab.host("h1"), lab.host("h2")];
    await docker(h2, ["pause", "asker"]);
    await h2.kill();
    expect(h2.isRunning()).toBe(false);
    expect(await ask(h1, h2)).toBe("");
    // Another process would see the same lab: everything is in the record and on the machine.
    await openLab(stateDir)?.host("h2").start();
    expect(await waitForAnswer(h1, h2)).toBe("from h2");
    expect(await docker(h2, ["ps", "--format={{.Names}}"])).toContain("asker");
  });

  test("`labUp` again mends what is off and leaves the rest running", async () => {
    const before = await docker(lab.host("h1"), ["inspect", "--format={{.State.StartedAt}}", "web"]);
    await lab.host("h2").kill();
    const rootfsCache = join(tmpdir(), "berth-lab-cache");
    lab = await labUp({ hosts: 2, stateDir, index, cacheDir: rootfsCache });
    expect(await waitForAnswer(lab.host("h1"), lab.host("h2"))).toBe("from h2");
    expect(await docker(lab.host("h1"), ["inspect", "--format={{.State.StartedAt}}", "web"])).toBe(before);
  });

  test("another state folder may not take the same index", async () => {
    const other = mkdtempSync(join(tmpdir(), "berth-lab-other-"));
    try {
      const cacheDir = join(tmpdir(), "berth-lab-cache");
      await expect(labUp({ hosts: 1, stateDir: other, index, cacheDir })).rejects.toThrow(/another lab/);
      await labDown(other);
      expect(lab.hosts.every((host) => host.isRunning())).toBe(true);
    } finally {
      rmSync(other, { recursive: true, force: true });
    }
  });

  test("down leaves nothing, and may be called again", async () => {
    const names = [1, 2].map((number) => hostNames(stateDir, index, number));
    await lab.down();
    await labDown(stateDir);
    for (const { netnsPath, veth } of names) {
      expect(pidsInNetns(netnsPath)).toEqual([]);
      expect(existsSync(netnsPath)).toBe(false);
      expect(existsSync(`/sys/class/net/${veth}`)).toBe(false);
    }
    expect(existsSync(`/sys/class/net/berthlab${index}`)).toBe(false);
    expect(await command(["iptables", "-S", "FORWARD"])).not.toContain(`berthlab${index}`);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(stateDir);
    expect(commandLines().filter((line) => line.includes(stateDir))).toEqual([]);
    expect(cgroupsLeft()).toEqual([]);
    expect(readdirSync(stateDir)).toEqual([]);
  });
});

function commandLines(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8");
      } catch {
        return "";
      }
    });
}

function cgroupsLeft(): string[] {
  const hierarchies = ["", ...readdirSync("/sys/fs/cgroup")];
  return hierarchies.map((name) => join("/sys/fs/cgroup", name, `berthlab${index}`)).filter(existsSync);
}
