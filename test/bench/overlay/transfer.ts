/** One stream of iperf3 from one network namespace to another, and the CPU of everything in its path. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { cpuSecondsOf } from "../kit/cpu.ts";

export interface Side {
  /** For `nsenter --net=`. */
  readonly netns: string;
  readonly address: string;
}

/** A way between two hosts that is measured. */
export interface Path {
  readonly name: string;
  readonly from: Side;
  readonly to: Side;
  /** The network namespaces of the two hosts. */
  readonly hosts: readonly string[];
}

export interface Transfer {
  readonly gigabitsPerSecond: number;
  readonly cpuSecondsPerGigabyte: number;
  readonly gigabitsPerBusyCore: number;
  readonly retransmits: number;
}

const port = 5201;
const listenTimeoutMs = 5000;
const bytesPerGigabyte = 1e9;

const report = z.object({
  end: z.object({
    sum_sent: z.object({ retransmits: z.number().optional() }),
    cpu_utilization_percent: z.object({ host_total: z.number(), remote_total: z.number() }),
    sum_received: z.object({ bytes: z.number(), seconds: z.number(), bits_per_second: z.number() }),
  }),
});

export async function transfer({ from, to, hosts }: Path, seconds: number): Promise<Transfer> {
  const server = iperf(to.netns, ["--server", "--one-off", "--forceflush", "--bind", to.address]);
  try {
    await server.says("Server listening", listenTimeoutMs);
    const before = tunnelCpuSeconds(hosts);
    const client = iperf(from.netns, ["--client", to.address, "--time", String(seconds), "--json"]);
    const output = await client.ended((seconds + 15) * 1000);
    const tunnels = tunnelCpuSeconds(hosts) - before;
    const {
      sum_sent: sent,
      sum_received: received,
      cpu_utilization_percent: ends,
    } = report.parse(JSON.parse(output)).end;
    if (received.bytes === 0) throw new Error("nothing came through");
    const cpuSeconds = tunnels + (received.seconds * (ends.host_total + ends.remote_total)) / 100;
    return {
      gigabitsPerSecond: received.bits_per_second / 1e9,
      cpuSecondsPerGigabyte: cpuSeconds / (received.bytes / bytesPerGigabyte),
      gigabitsPerBusyCore: (received.bytes * 8) / 1e9 / cpuSeconds,
      retransmits: sent.retransmits ?? 0,
    };
  } finally {
    server.kill();
  }
}

/**
 * CPU of every wireguard-go of these hosts and of the kernel's packet threads. What the kernel does for a packet in
 * passing is counted with the process that it interrupts.
 */
function tunnelCpuSeconds(hosts: readonly string[]): number {
  const namespaces = new Set(hosts.map((path) => statSync(path).ino));
  const isPart = (pid: string): boolean => {
    try {
      const name = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
      if (name.startsWith("ksoftirqd/")) return true;
      return name === "wireguard-go" && namespaces.has(statSync(`/proc/${pid}/ns/net`).ino);
    } catch {
      return false; // it has ended
    }
  };
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter(isPart).reduce((sum, pid) => sum + cpuSecondsOf(Number(pid)), 0);
}

function iperf(netns: string, words: readonly string[]) {
  const argv = [`--net=${netns}`, "iperf3", "--port", String(port), ...words];
  const child = spawn("nsenter", argv, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const exit = once(child, "close"); // after its last word was read
  return {
    kill: () => void child.kill("SIGKILL"),
    says: async (text: string, timeoutMs: number): Promise<void> => {
      const deadlineMs = performance.now() + timeoutMs;
      while (!output.includes(text)) {
        if (child.exitCode !== null || performance.now() > deadlineMs)
          throw new Error(`iperf3 ${words.join(" ")}: ${output}${errors}`.trim());
        await delay(10);
      }
    },
    ended: async (timeoutMs: number): Promise<string> => {
      const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
      const [code] = (await exit) as [number | null];
      clearTimeout(timer);
      if (code !== 0) throw new Error(`iperf3 ${words.join(" ")} ended with ${code}: ${output}${errors}`);
      return output;
    },
  };
}
