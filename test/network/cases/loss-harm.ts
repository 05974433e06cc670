/** A cable between hosts that loses packets. */
import { until } from "../../git/until.ts";
import { level, within } from "../../hosts/case.ts";
import { answeredShare } from "../beats.ts";
import { type Given, type Harm, on } from "./harm.ts";

const table = "berth_lab_loss";
const leastMs = 20_000;
const seenTimeoutMs = 90_000;

interface TunnelLook {
  readonly state: string;
  readonly sentCount: number;
  readonly lostCount: number;
  readonly healedCount: number;
}

/** Both ends, as `berth network show` has them. */
async function ends({ stage, near, far }: Given): Promise<TunnelLook[]> {
  const { hosts } = await stage.lab.network(stage.apps[0]);
  const names: readonly string[] = [near, far].map(({ host }) => host.name);
  return hosts
    .filter(({ name }) => names.includes(name))
    .flatMap(({ tunnels }) => tunnels.filter(({ to }) => names.includes(to)));
}

async function loseSome({ far }: Given): Promise<void> {
  const drop = "udp dport 21000-22999 numgen random mod 100 < 10 counter drop";
  const chain = (hook: string) => `chain ${hook} {\n type filter hook ${hook} priority -400;\n ${drop}\n}\n`;
  await on(far, `printf '${`table inet ${table} {\n${chain("input")}${chain("output")}}\n`}' | nft -f -`);
}

async function loseNoMore({ far }: Given): Promise<number> {
  const counted = await on(far, `nft list table inet ${table}`);
  await on(far, `nft delete table inet ${table}`);
  const dropped = [...counted.matchAll(/packets (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  if (dropped === 0) throw new Error("the lab dropped no packet, so nothing was lost");
  return dropped;
}

/** Until an end tells of lost probes, and at least for a while. @returns what the ends said meanwhile */
async function untilSeen(given: Given): Promise<TunnelLook[]> {
  const beganMs = performance.now();
  const seen: TunnelLook[] = [];
  await until(
    "the probe to tell of the loss",
    async () => {
      const now = await ends(given);
      seen.push(...now);
      const tells = now.some(({ lostCount }) => lostCount > 0);
      return tells && performance.now() - beganMs > leastMs ? true : undefined;
    },
    seenTimeoutMs,
  );
  return seen;
}

function share({ lostCount, sentCount }: TunnelLook): number {
  return Math.round((100 * lostCount) / Math.max(1, sentCount));
}

export const loss: Harm = {
  name: "10 % loss",
  what: "every tenth packet between the hosts is dropped, both ways",
  promiseMs: 3000,
  act: async (given) => {
    const before = await ends(given);
    await loseSome(given);
    const fromMs = Date.now();
    const seen = await untilSeen(given);
    const dropped = await loseNoMore(given);
    const overAtMs = Date.now();
    given.timeline.mark("the probe told of the loss, and it ends", overAtMs);
    const worst = Math.max(...seen.map(share));
    const isUp = seen.every(({ state }) => state === "up");
    const healings = (looks: readonly TunnelLook[]) =>
      Math.max(...looks.map(({ healedCount }) => healedCount));
    return {
      overAtMs,
      afterwards: async (beats) => {
        const answered = answeredShare(beats, fromMs, overAtMs);
        const well = await until(
          "both ends to be well",
          async () => {
            const now = await ends(given);
            return now.length === 2 && now.every(({ lostCount }) => lostCount === 0) ? now : undefined;
          },
          seenTimeoutMs,
        );
        const wellAfterMs = Date.now() - overAtMs;
        given.timeline.mark("both ends tell of no loss");
        return [
          level(
            "10 % loss: answered meanwhile",
            "≥ 70 %",
            answered >= 0.7,
            `${Math.round(answered * 100)} %`,
          ),
          level("10 % loss: told by the probe", "some", worst > 0, `${worst} %, ${dropped} packets dropped`),
          level(
            "10 % loss: the tunnel stays",
            "up all the time, not healed",
            isUp && healings(well) === healings(before),
            isUp ? "up" : seen.map(({ state }) => state).join(" "),
          ),
          within("10 % loss: from its end until no loss is told", wellAfterMs, 60_000),
        ];
      },
    };
  },
};
