/** P1 and P1b: how many placements per second, beside bare request-replies and broadcast auctions. */
import { Lot } from "@berth/shared/domain/placement.ts";
import type { BareConnection } from "@berth/shared/kit/bare-connection.ts";
import { estimate, median } from "../kit/statistics.ts";
import { tableLines } from "../kit/table.ts";
import { requestReplies } from "./bare.ts";
import { type Bench, mixedSizes, type Trial, type Usage } from "./bench.ts";
import { callOut } from "./broadcast.ts";
import { makeJobs } from "./jobs.ts";

const windows = [16, 64, 256, 1024];
const sameArmPairs = 3;
const broadcastJobs = 24;
const broadcastsAtOnce = 4;

export interface Rate {
  readonly placements: number[];
  readonly bare: number[];
  readonly broadcast: number[];
  readonly lines: string[];
  readonly extra: object;
}

interface Given {
  readonly pairs: number;
  readonly jobs: number;
  readonly agents: number;
  readonly say: (line: string) => void;
}

export async function measureRate(bench: Bench, bare: BareConnection, given: Given): Promise<Rate> {
  const { pairs, jobs, say } = given;
  const payload = bench.bareAward();
  const hostIds = bench.hosts.map(({ id }) => id);
  const bareRate = async (window: number): Promise<number> =>
    (jobs * 1000) / (await requestReplies(bare, hostIds, payload, jobs, window));
  for (const window of windows) await bareRate(window); // warm
  const tried: { window: number; rate: number }[] = [];
  for (const window of windows)
    tried.push({ window, rate: median([await bareRate(window), await bareRate(window)]) });
  const best = tried.toSorted((a, b) => b.rate - a.rate)[0] as { window: number; rate: number };
  say(`bare: window ${best.window} is the best of ${windows.join(", ")}: ${Math.round(best.rate)}/s`);
  const trial = async (): Promise<Trial> => {
    const result = await bench.place(makeJobs(mixedSizes(jobs)));
    await bench.clear();
    return result;
  };
  await trial(); // warm
  const same: number[] = [];
  for (let i = 0; i < sameArmPairs; i += 1)
    same.push((await bareRate(best.window)) / (await bareRate(best.window)));
  const rate: Pick<Rate, "placements" | "bare" | "broadcast"> = { placements: [], bare: [], broadcast: [] };
  const usages: Usage[] = [];
  for (let i = 0; i < pairs; i += 1) {
    rate.bare.push(await bareRate(best.window));
    const { wallMs, usage } = await trial();
    rate.placements.push((jobs * 1000) / wallMs);
    usages.push(usage);
    rate.broadcast.push(await broadcastRate(bench, bare, payload));
    say(
      `${i + 1}/${pairs}: bare ${Math.round(rate.bare.at(-1) ?? 0)}/s, Berth ${Math.round(rate.placements.at(-1) ?? 0)}/s, broadcast ${(rate.broadcast.at(-1) ?? 0).toFixed(1)}/s`,
    );
  }
  return { ...rate, ...report(given, best.window, payload.length, rate, usages, same) };
}

/** A few auctions, some at once; the award and its row as the floor has them: one request, one committed statement. */
async function broadcastRate(bench: Bench, bare: BareConnection, payload: string): Promise<number> {
  const lots = makeJobs(mixedSizes(broadcastJobs)).map(({ id, spec }) =>
    Lot.parse({
      ...{ jobId: id, orgId: spec.orgId, serviceId: spec.serviceId, process: spec.process },
      ...{ resources: spec.resources, constraints: spec.constraints },
      ...{ imageDigest: spec.image.digest, imageBytes: spec.image.bytes },
    }),
  );
  const startedAtMs = performance.now();
  const worker = async (): Promise<void> => {
    for (let lot = lots.shift(); lot !== undefined; lot = lots.shift()) {
      const winner = await callOut(bare, lot, bench.hosts.length);
      if (winner === null) throw new Error("no host bids in a broadcast auction");
      await bench.given.record.noteBroadcast(lot.jobId, lot.serviceId, winner);
      await bare.request(`bench.echo.${winner}`, payload, { timeout: 10_000 });
    }
  };
  await Promise.all(Array.from({ length: broadcastsAtOnce }, worker));
  return (broadcastJobs * 1000) / (performance.now() - startedAtMs);
}

function report(
  { jobs, agents }: Given,
  window: number,
  payloadBytes: number,
  rate: Pick<Rate, "placements" | "bare" | "broadcast">,
  usages: readonly Usage[],
  same: readonly number[],
): Pick<Rate, "lines" | "extra"> {
  const per = (of: keyof Usage) => median(usages.map((usage) => usage[of] / jobs));
  const micros = (of: keyof Usage) => (per(of) * 1e6).toFixed(0);
  const row = (name: string, rates: readonly number[]) => [
    name,
    ...[median(rates), Math.min(...rates), Math.max(...rates)].map((value) =>
      value.toFixed(value < 100 ? 1 : 0),
    ),
  ];
  const sameRatio = estimate(same);
  const noisy = sameRatio.median < 0.97 || sameRatio.median > 1.03;
  const cpu = (["scheduler", "agents", "nats", "postgres"] as const).map((of) => [of, micros(of)]);
  return {
    lines: [
      `${jobs} jobs on ${agents} agents; the floor sends ${payloadBytes} bytes per request, window ${window}`,
      "",
      ...tableLines(
        ["per second", "median", "least", "most"],
        [
          row("bare request-replies", rate.bare),
          row("placements", rate.placements),
          row("broadcast auctions", rate.broadcast),
        ],
      ),
      "",
      ...tableLines(["CPU per placement", "µs"], cpu),
      `messages per placement: ${per("messages").toFixed(2)} (heartbeats and desired sets of the time included)`,
      `A–A: ${sameRatio.median.toFixed(3)} (${same.length} pairs of the floor with itself)${noisy ? ": TOO NOISY, outside of 0.97–1.03" : ""}`,
    ],
    extra: {
      sameArm: { value: sameRatio.median, tooNoisy: noisy },
      ...{
        window,
        payloadBytes,
        agents,
        jobs,
        messagesPerPlacement: Math.round(per("messages") * 100) / 100,
      },
      cpuMicrosPerPlacement: Object.fromEntries(cpu.map(([of, value]) => [of, Number(value)])),
    },
  };
}
