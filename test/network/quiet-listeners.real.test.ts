/** A tunnel's process is not woken by what happens to other interfaces, but by a way to its peers; one that was not told so is by all. */
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { ensureWireguardGo } from "@berth/infra/install/wireguard-go.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { quietListeners } from "../../services/agent/src/network/shell/quiet-listeners.ts";
import { Wireguard } from "../../services/agent/src/network/shell/wireguard.ts";

const namespace = `btq${process.pid}`;
const enter = ["ip", "netns", "exec", namespace];
const [quiet, loud] = [`wb-q${process.pid}`, `wb-l${process.pid}`];
const port = 51_999;
const changes = 40;
const toolsDir = join(process.env.BERTH_TEST_CACHE ?? join(tmpdir(), "berth-test-cache"), "tools");

const run = promisify(execFile);
const within = (...words: string[]) => run("ip", [...enter.slice(1), ...words]);
const ip = (...lines: string[]) => within("sh", "-c", `printf '${lines.join("\\n")}\\n' | ip -batch -`);
const tool = await ensureWireguardGo(toolsDir, () => undefined);

beforeAll(() => run("ip", ["netns", "add", namespace]));
afterAll(() => run("ip", ["netns", "delete", namespace]));

function processOf(name: string): number {
  const words = (pid: string): string[] => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    } catch {
      return []; // it has ended
    }
  };
  const found = readdirSync("/proc").find((pid) => /^\d+$/.test(pid) && words(pid)[2] === name);
  if (found === undefined) throw new Error(`${name} has no process`);
  return Number(found);
}

/** How often it went to sleep, and so was woken. */
function wakesCount(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((task) => readFileSync(`/proc/${pid}/task/${task}/status`, "utf8"))
    .reduce((sum, text) => sum + Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(text)?.[1] ?? 0), 0);
}

const listens = (pid: number): boolean =>
  readFileSync(`/proc/${pid}/net/udp`, "utf8").includes(`:${port.toString(16).toUpperCase()} `);

test.skipIf(tool === null)("what happens to others does not wake it", async () => {
  const program = tool?.path ?? "";
  const wireguard = new Wireguard(program, enter);
  await wireguard.make(quiet);
  const child = spawn("ip", [...enter.slice(1), program, "-f", loud], { stdio: "ignore" });
  await expect.poll(() => wireguard.observeOne(loud)).not.toBeNull();
  try {
    await within("wg", "set", quiet, "listen-port", String(port));
    await ip("link set lo up", `link set ${quiet} up`, `link set ${loud} up`);
    await expect.poll(() => listens(processOf(quiet))).toBe(true);
    await quietListeners(enter)(["10.8.0.0/16", quiet, "wb-nobody"]);
    await delay(300); // what their own start wakes them for

    const before = [quiet, loud].map((name) => wakesCount(processOf(name)));
    for (let i = 1; i <= changes; i += 1)
      await ip(`link add d${i} type bridge`, `link set d${i} up`, `address add 10.8.${i}.1/24 dev d${i}`);
    const [silent = 0, awake = 0] = [quiet, loud].map(
      (name, i) => wakesCount(processOf(name)) - (before[i] ?? 0),
    );
    expect(awake).toBeGreaterThan(changes);
    expect(silent).toBeLessThan(awake / 4);

    const between = wakesCount(processOf(quiet));
    for (let i = 1; i <= changes; i += 1) await ip(`route add 192.0.2.${i}/32 dev lo`);
    expect(wakesCount(processOf(quiet)) - between).toBeGreaterThan(changes / 2);
  } finally {
    await wireguard.remove(quiet);
    await wireguard.remove(loud);
    child.kill("SIGKILL");
  }
});

test.skipIf(tool === null)(
  "while nothing happens it sleeps; that its interface goes up it hears",
  async () => {
    const program = tool?.path ?? "";
    const wireguard = new Wireguard(program, enter);
    const pid = await wireguard.make(quiet);
    const child = spawn("ip", [...enter.slice(1), program, "-f", loud], { stdio: "ignore" });
    await expect.poll(() => wireguard.observeOne(loud)).not.toBeNull();
    try {
      await within("wg", "set", quiet, "listen-port", String(port));
      // The kernel's own looks for routers are packets to both.
      for (const name of [quiet, loud]) await ip(`link set ${name} addrgenmode none`);
      await ip(`link set ${quiet} up`, `link set ${loud} up`);
      await expect.poll(() => listens(processOf(quiet))).toBe(true);
      await quietListeners(enter)(["10.8.0.0/16", `${quiet}:${pid}`, loud]);
      await delay(1000); // what their own start wakes them for
      const before = [quiet, loud].map((name) => wakesCount(processOf(name)));
      await delay(3000);
      const [silent = 0, awake = 0] = [quiet, loud].map(
        (name, i) => wakesCount(processOf(name)) - (before[i] ?? 0),
      );
      expect(awake).toBeGreaterThan(5);
      expect(silent).toBeLessThan(3);
      const names = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean);
      expect(names.map((one) => one.split("=")[0]).toSorted()).toEqual(["GOMAXPROCS", "LOG_LEVEL", "PATH"]);
    } finally {
      await wireguard.remove(quiet);
      await wireguard.remove(loud);
      child.kill("SIGKILL");
    }
  },
);

test("nor does it wake a resolver", async () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-quiet-"));
  const start = async (name: string, address: string): Promise<number> => {
    await ip(`link add ${name} type bridge`, `address add ${address}/24 dev ${name}`, `link set ${name} up`);
    const pidFile = join(folder, name);
    const words = [
      "--conf-file=/dev/null",
      `--listen-address=${address}`,
      "--bind-interfaces",
      "--no-resolv",
    ];
    await within("/usr/sbin/dnsmasq", ...words, `--pid-file=${pidFile}`);
    return Number(readFileSync(pidFile, "utf8"));
  };
  const pids = [await start("r1", "10.7.1.1"), await start("r2", "10.7.2.1")] as const;
  try {
    await quietListeners(enter)(["10.8.0.0/16", String(pids[0])]);
    const before = pids.map(wakesCount);
    for (let i = 1; i <= changes; i += 1) await ip(`route add 10.6.${i}.0/24 dev r1`);
    const [silent = 0, awake = 0] = pids.map((pid, i) => wakesCount(pid) - (before[i] ?? 0));
    expect(awake).toBeGreaterThan(changes / 2);
    expect(silent).toBe(0);
  } finally {
    for (const pid of pids) process.kill(pid, "SIGKILL");
    rmSync(folder, { recursive: true });
  }
});
