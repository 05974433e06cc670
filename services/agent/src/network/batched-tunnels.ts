/** Has the processes of tunnels that carry much scheduled as a batch (core/carrying.ts), and the others as usual. */
import type { Clock } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import {
  type Carrying,
  firstSeen,
  isLittle,
  judgeCarrying,
  parseCarried,
  parseTotal,
  type Total,
} from "./core/carrying.ts";
import type { DesiredHost } from "./core/network-state.ts";
import { type TunnelKernel, tunnelKernel } from "./shell/tunnel-process.ts";

export interface BatchedTunnelsGiven {
  readonly desired: () => Pick<DesiredHost, "mesh" | "networks"> | null;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Log;
  readonly kernel?: TunnelKernel;
}

export class BatchedTunnels {
  readonly #given: BatchedTunnelsGiven;
  readonly #kernel: TunnelKernel;
  readonly #seen = new Map<string, Carrying>();
  /** As a former process of the agent left them. */
  #left: ReadonlySet<string> | null = null;
  #total: Total | null = null;

  constructor(given: BatchedTunnelsGiven) {
    this.#given = given;
    this.#kernel = given.kernel ?? tunnelKernel;
  }

  readonly look = async (): Promise<void> => {
    if (await this.#isQuiet()) return;
    const names = tunnelNames(this.#given.desired());
    for (const name of this.#seen.keys()) if (!names.has(name)) this.#seen.delete(name);
    if (names.size === 0) return;
    this.#left ??= await this.#alreadyBatched();
    const atMs = this.#given.clock.monotonicMs();
    const turned = new Map<string, boolean>();
    for (const [name, bytes] of parseCarried(await this.#kernel.counters())) {
      if (!names.has(name)) continue;
      const before = this.#seen.get(name) ?? firstSeen(bytes, atMs, this.#left.has(name));
      const now = judgeCarrying(before, bytes, atMs);
      this.#seen.set(name, now);
      if (now.isMuch !== before.isMuch) turned.set(name, now.isMuch);
    }
    this.#left = new Set();
    if (turned.size > 0) await this.#turn(turned);
  };

  /** No tunnel counts as one that carries much, and none can be one by now: nothing but the host's total was read. */
  async #isQuiet(): Promise<boolean> {
    const before = this.#total;
    const bytes = parseTotal(await this.#kernel.totals());
    this.#total = bytes === null ? null : { bytes, atMs: this.#given.clock.monotonicMs() };
    const carries = this.#left === null || [...this.#seen.values()].some(({ isMuch }) => isMuch);
    if (carries || before === null || this.#total === null || !isLittle(before, this.#total)) return false;
    // What was counted before the quiet says nothing of what comes after it.
    this.#seen.clear();
    return true;
  }

  async #alreadyBatched(): Promise<ReadonlySet<string>> {
    const left = new Set<string>();
    for (const process of await this.#kernel.processes())
      if (await this.#kernel.isBatch(process)) left.add(process.name);
    return left;
  }

  /** The kernel's own WireGuard has no process, and needs none of this. */
  async #turn(turned: ReadonlyMap<string, boolean>): Promise<void> {
    for (const process of await this.#kernel.processes()) {
      const batched = turned.get(process.name);
      if (batched === undefined) continue;
      await this.#kernel.setBatch(process, batched).then(
        () => this.#given.log.info("tunnel.scheduled", { of: process.name, batched }),
        (error: unknown) =>
          this.#given.log.warn("tunnel.not-scheduled", { of: process.name, error: describeError(error) }),
      );
    }
  }
}

function tunnelNames(desired: Pick<DesiredHost, "mesh" | "networks"> | null): ReadonlySet<string> {
  const ofNetworks = desired?.networks.flatMap(({ tunnel }) => tunnel?.name ?? []) ?? [];
  return new Set([...ofNetworks, ...(desired?.mesh?.name === undefined ? [] : [desired.mesh.name])]);
}
