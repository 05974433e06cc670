/** A person's machine beside the hosts: a network namespace on the lab's bridge, with a WireGuard interface. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { ensureWireguardGo } from "@berth/infra/install/wireguard-go.ts";
import { until } from "../git/until.ts";

export interface PersonMachine {
  /** Sets its WireGuard interface as wg-quick would. */
  configure(config: string): Promise<void>;
  /** What a command there printed, whatever its exit code. */
  run(command: string): Promise<string>;
  close(): Promise<void>;
}

const NETNS = "berthlab-person";
const VETH = "blab-person";
const WIREGUARD = "wg-person";
const INSIDE = ["ip", "netns", "exec", NETNS] as const;

export async function startPersonMachine(given: {
  readonly bridge: string;
  /** With its prefix length. */
  readonly address: string;
  readonly toolsDir: string;
}): Promise<PersonMachine> {
  const tool = await ensureWireguardGo(given.toolsDir, () => undefined);
  const inside = (command: string, input = "") => said([...INSIDE, "sh", "-c", command], input);
  await remove();
  await said(["ip", "netns", "add", NETNS]);
  await said(["ip", "link", "add", VETH, "type", "veth", "peer", "name", "eth0", "netns", NETNS]);
  await said(["ip", "link", "set", VETH, "master", given.bridge, "up"]);
  await inside(`ip addr add ${given.address} dev eth0; ip link set eth0 up; ip link set lo up`);
  let child: ChildProcess | null = null;
  const end = async () => {
    await inside(`ip link delete ${WIREGUARD}`);
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  return {
    run: (command) => inside(command),
    configure: async (config) => {
      await end();
      if (tool === null) await inside(`ip link add ${WIREGUARD} type wireguard`);
      else child = spawn(INSIDE[0], [...INSIDE.slice(1), tool.path, "-f", WIREGUARD], { stdio: "ignore" });
      await until("the interface", async () =>
        (await inside(`wg show ${WIREGUARD}`)).includes("interface") ? true : undefined,
      );
      const own = /^Address = (.*)$/m.exec(config)?.[1];
      const plain = config.replaceAll(/^(Address|DNS|MTU) = .*\n/gm, "");
      await inside(`cat | wg setconf ${WIREGUARD} /dev/stdin`, plain);
      await inside(`ip addr add ${own} dev ${WIREGUARD}; ip link set ${WIREGUARD} mtu 1380 up`);
      const routes = [...config.matchAll(/^AllowedIPs = (.*)$/gm)].flatMap(([, to = ""]) => to.split(", "));
      for (const to of routes) await inside(`ip route add ${to} dev ${WIREGUARD}`);
    },
    close: async () => {
      await end();
      await said(["sh", "-c", `ip netns pids ${NETNS} | xargs -r kill -9`]);
      await remove();
    },
  };
}

async function remove(): Promise<void> {
  await said(["ip", "link", "delete", VETH]);
  await said(["ip", "netns", "delete", NETNS]);
}

function said([file = "", ...words]: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile(file, words, { timeout: 15_000 }, (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    );
    // A program that ended without reading says so by its exit code.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}
