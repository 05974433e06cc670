/** All packet rules of ours are deleted by hand: closed at once, and soon as before. */
import { command } from "@berth/infra/lab/command.ts";
import { until } from "../../git/until.ts";
import { type Finding, level, within } from "../../hosts/case.ts";
import type { Instance } from "../namespaces.ts";
import { askFrom } from "../probe.ts";

interface Flush {
  /** On the host whose rules are deleted. */
  readonly attacker: Instance;
  /** Of the other environment, on the same host. */
  readonly foreign: Instance;
  /** Of the same environment, on another host. */
  readonly far: Instance;
}

/** The agent knows the port a moment after the start; this waits for it, as a level. */
export async function guarded({ host, address }: Instance): Promise<void> {
  await until(
    `the port of ${address} to be bound`,
    async () => {
      const { stdout } = await host.exec(["nft", "list", "table", "bridge", "berth"]);
      return stdout.includes(` ${address}`) ? true : undefined;
    },
    30_000,
  );
}

const flushPromiseMs = 10_000;

/** All rules of ours are deleted by hand, twice: with the agent asleep, so that what is seen is what is left, and awake. */
export async function flushed({ attacker, foreign, far }: Flush): Promise<Finding[]> {
  const { host } = attacker;
  const sh = (script: string) => command([...host.enter(), "sh", "-c", script]);
  const flush = "nft delete table inet berth; nft delete table bridge berth";
  const agents = "$(pgrep -f services/agent/src/mai[n])";
  const open = async (timeoutMs: number): Promise<boolean[]> =>
    askFrom(
      attacker.netns,
      [far, foreign].map(({ address }) => ({ kind: "tcp" as const, to: address, port: 8080 })),
      timeoutMs,
    );
  await sh(`kill -STOP ${agents}; ${flush}`);
  const meanwhile = await open(1500).finally(() => sh(`kill -CONT ${agents}`));
  const untilRestored = async (atMs: number) => {
    await until("the way inside", async () => ((await open(300))[0] ? true : undefined), 60_000);
    await guarded(attacker);
    return Date.now() - atMs;
  };
  await untilRestored(Date.now());
  const atMs = Date.now();
  await sh(flush);
  const restoredMs = await untilRestored(atMs);
  const [, across] = await open(1500);
  return [
    level(
      "both tables deleted by hand: meanwhile",
      "closed",
      !meanwhile.some(Boolean),
      meanwhile.map((one) => (one ? "open" : "closed")).join(", "),
    ),
    within("both tables deleted by hand: until they are restored", restoredMs, flushPromiseMs),
    level(
      "both tables deleted by hand: to the other environment, after it",
      "closed",
      across === false,
      across ? "open" : "closed",
    ),
  ];
}
