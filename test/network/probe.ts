/** Starts probes in network namespaces of hosts and containers, and reads what they saw. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { z } from "zod";
import { Answers, type Ask, type Beat, Beats, Heard, type Order, type Serve } from "./probe-order.ts";

const startTimeoutMs = 20_000;
const askTimeoutMs = 90_000;
const main = join(import.meta.dirname, "probe-main.ts");

/** @returns for each whether anything came back */
export async function askFrom(netns: string, asks: readonly Ask[], timeoutMs = 1500): Promise<boolean[]> {
  const child = start(netns, { ask: [...asks], timeoutMs });
  const output = await outputOf(child, (text) => text.endsWith("\n"), askTimeoutMs, netns);
  return Answers.length(asks.length).parse(JSON.parse(output));
}

/** Answers on these ports until it is closed. */
export async function serveIn(netns: string, serve: Serve): Promise<{ close(): Promise<void> }> {
  const child = start(netns, { serve });
  await outputOf(child, (text) => text.includes("ready"), startTimeoutMs, netns);
  const exit = once(child, "exit");
  return {
    close: async () => {
      child.kill("SIGKILL");
      await exit;
    },
  };
}

/** Listens for datagrams until it is ended. @returns the addresses from which they came */
export async function hearIn(netns: string, port: number): Promise<{ end(): Promise<string[]> }> {
  const child = start(netns, { hear: port });
  await outputOf(child, (text) => text.includes("ready"), startTimeoutMs, netns);
  return {
    end: async () => {
      child.stdin.end();
      const output = await outputOf(child, (text) => text.endsWith("\n"), startTimeoutMs, netns);
      return Heard.parse(JSON.parse(output));
    },
  };
}

/** Sends to an echo until it is ended. @returns what became of each datagram */
export async function beatFrom(netns: string, beat: Beat): Promise<{ end(): Promise<Beats> }> {
  const child = start(netns, { beat });
  await outputOf(child, (text) => text.includes("ready"), startTimeoutMs, netns);
  return {
    end: async () => {
      child.stdin.end();
      const output = await outputOf(child, (text) => text.endsWith("\n"), startTimeoutMs, netns);
      return Beats.parse(JSON.parse(output));
    },
  };
}

function start(netns: string, order: z.input<typeof Order>): ChildProcessWithoutNullStreams {
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", main];
  const child = spawn("nsenter", [`--net=${netns}`, ...node], { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => undefined);
  child.stdin.write(`${JSON.stringify(order)}\n`);
  return child;
}

async function outputOf(
  child: ChildProcessWithoutNullStreams,
  isWhole: (text: string) => boolean,
  timeoutMs: number,
  where: string,
): Promise<string> {
  let [output, errors] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  child.stdout.setEncoding("utf8");
  return await new Promise((done, failed) => {
    const fail = (why: string): void => {
      child.kill("SIGKILL");
      failed(new Error(`the probe in ${where} ${why}: ${errors.trim()}`));
    };
    const timer = setTimeout(() => fail(`took longer than ${timeoutMs / 1000} s`), timeoutMs);
    child.once("exit", (code) => fail(`ended with ${code}`));
    child.stdout.on("data", (text: string) => {
      output += text;
      if (!isWhole(output)) return;
      clearTimeout(timer);
      child.removeAllListeners("exit");
      child.stdout.removeAllListeners("data");
      done(output);
    });
  });
}
