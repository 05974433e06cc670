/** What looks at and changes the machine's networks: one place that carries out the steps of core/plan-network.ts. */
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { Engine } from "../../outbound/docker.ts";
import { Belief, type LookUnderWay } from "../belief.ts";
import { afterStep } from "../core/after-step.ts";
import { type FirewallView, firewallTable } from "../core/firewall.ts";
import type { DesiredNetwork } from "../core/network-state.ts";
import type { NetworkStep, ObservedHost, ObservedTunnel } from "../core/plan-network.ts";
import { bridgeOptions, NETWORK_LABEL } from "./bridge-options.ts";
import type { Kernel, NetworkInterface, SeenFilter } from "./kernel.ts";
import type { QuietListeners } from "./quiet-listeners.ts";
import { SeenTunnels } from "./seen-tunnels.ts";
import { stepLines } from "./step-lines.ts";
import type { Wireguard } from "./wireguard.ts";

export interface HandsGiven {
  readonly engine: Engine;
  readonly kernel: Kernel;
  readonly wireguard: Wireguard;
  readonly quiet: Pick<QuietListeners, "setPodCidr" | "keepTunnels" | "noteTunnel">;
  readonly podId: string;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly log: Log;
}

const OURS = /^(bn|wb|wm)-/;
/** What is made for a network; another kind that has such a name is somebody else's. */
const KINDS: ReadonlySet<string> = new Set(["bridge", "tun", "wireguard"]);

/** What one look saw. It counts with the next run that takes it. */
export interface Seen {
  readonly look: LookUnderWay;
  readonly host: ObservedHost;
  readonly filter: SeenFilter;
}

/** What a run goes by. `filter` is null where the packet filter was not looked at: then it is as it was left. */
export interface Taken {
  readonly host: ObservedHost;
  readonly filter: SeenFilter | null;
}

export interface CarryingOut {
  /**
   * When the packet rules stand. A bridge is made beside them, because nothing is in it yet; all else comes after them.
   * Rejected: nothing more is done.
   */
  readonly ruled: Promise<void>;
  /** Called when a bridge was made, before what else is to be done; it may have to wait for the rules by itself. */
  onBridge(network: DesiredNetwork): Promise<void>;
  /** Asked before each step, or steps that belong together: true leaves it, and all that follow, undone. */
  isToGiveWay(): boolean;
}

export class NetworkHands {
  readonly #given: HandsGiven;
  #engineMajor = 0;
  readonly #belief = new Belief();
  readonly #seenTunnels: SeenTunnels;
  #tunnels: readonly ObservedTunnel[] = [];
  #interfaces: readonly NetworkInterface[] | null = null;
  /** What was told of last. */
  #missingAddresses = "[]";

  constructor(given: HandsGiven) {
    this.#given = given;
    this.#seenTunnels = new SeenTunnels(given.wireguard, given.nowMs);
  }

  /** @throws EngineError while the engine does not answer */
  async open(): Promise<void> {
    this.#engineMajor = Number.parseInt((await this.#given.engine.info()).version, 10);
  }

  /** The tunnels as the last look saw them. */
  get tunnels(): readonly ObservedTunnel[] {
    return this.#tunnels;
  }

  /** Packet rules: they stand before what they are about. @param seen null: what was applied last holds */
  async ensureRules(view: FirewallView, seen: SeenFilter | null): Promise<void> {
    const { kernel, quiet } = this.#given;
    quiet.setPodCidr(view.podCidr);
    if (seen === null) return kernel.changeTable(firewallTable(view));
    await kernel.ensureTable(firewallTable(view), seen.table);
    await kernel.ensureChains(seen.chains);
  }

  /**
   * What is there, for a run, in which nothing else is changed. A look that does not count, because a step failed since it
   * began, is made again at once.
   * @param seen a look that was made beside other runs; null: what was seen, and done since, holds
   */
  async take(seen: Seen | null): Promise<Taken> {
    const isTaken = seen !== null && this.#belief.take(seen.look, seen.host);
    const known = this.#belief.host;
    if (known !== null) return { host: known, filter: isTaken ? seen.filter : null };
    const now = await this.look();
    this.#belief.take(now.look, now.host);
    return now;
  }

  /** Looks at everything, also while steps are carried out. Changes nothing but that the host forwards packets. */
  async look(): Promise<Seen> {
    const { kernel } = this.#given;
    const look = this.#belief.begin();
    const [{ interfaces, routes, rulePriorities, filter }, engineNetworks] = await Promise.all([
      kernel.look(),
      this.#engineNetworks(),
    ]);
    this.#interfaces = interfaces;
    const made = interfaces.filter(({ name, kind }) => OURS.test(name) && KINDS.has(kind));
    const names = made.map(({ name }) => name);
    const tunnels = await this.#seenTunnels.observe(names.filter((name) => name.startsWith("w")));
    this.#tunnels = tunnels;
    this.#given.quiet.keepTunnels(tunnels.map(({ name }) => name));
    const plain = interfaces.map(
      ({ name, addresses }) => [name, addresses.map((one) => one.split("/")[0] ?? "")] as const,
    );
    const addresses = new Map(plain);
    const host = { links: new Set(names), addresses, routes, rulePriorities, engineNetworks, tunnels };
    return { look, host, filter };
  }

  /** The engine's networks of this pod's environments. */
  async #engineNetworks(): Promise<{ readonly name: string; readonly subnet: string }[]> {
    const { engine, podId } = this.#given;
    return (await engine.networks()).filter(
      ({ labels }) => labels["berth.pod"] === podId && labels[NETWORK_LABEL] === "environment",
    );
  }

  /**
   * One step that fails holds up no other: the next round tries it again.
   * @returns what is there after them; whether none of them failed; whether some were left undone
   */
  async carryOut(
    steps: readonly NetworkStep[],
    before: ObservedHost,
    {
      ruled = Promise.resolve(),
      onBridge = async () => {},
      isToGiveWay = () => false,
    }: Partial<CarryingOut> = {},
  ): Promise<{ readonly now: ObservedHost; readonly isWhole: boolean; readonly gaveWay: boolean }> {
    let now = before;
    let isWhole = true;
    let gaveWay = false;
    const begun: NetworkStep[] = [];
    // Who waits for it below hears of it.
    ruled.catch(() => {});
    try {
      for (const group of groups(steps)) {
        gaveWay = isToGiveWay();
        if (gaveWay) break;
        const bridge = group[0]?.kind === "make-bridge" ? group[0].network : null;
        if (bridge === null) await ruled;
        begun.push(...group);
        const done = await this.#try(group);
        for (const step of group) this.#noteChanged(step);
        if (done) now = group.reduce(afterStep, now);
        isWhole &&= done;
        if (done && bridge !== null) await onBridge(bridge);
      }
      if (!gaveWay) await ruled;
    } catch (error) {
      isWhole = false;
      throw error;
    } finally {
      this.#belief.carriedOut(now, begun, isWhole);
    }
    return { now, isWhole, gaveWay };
  }

  #noteChanged(step: NetworkStep): void {
    if (!("tunnel" in step)) return;
    this.#seenTunnels.noteChanged(step.tunnel.name);
    const isAboutPeers = step.kind === "configure-tunnel" && step.changes !== null;
    if (!isAboutPeers) this.#given.quiet.noteTunnel(step.tunnel.name);
  }

  async #try(steps: readonly NetworkStep[]): Promise<boolean> {
    const { log } = this.#given;
    const about = steps.map((step) => ({ step: step.kind, of: subjectOf(step) }));
    try {
      await this.#execute(steps);
      for (const one of about) log.info("network.step", one);
      return true;
    } catch (error) {
      log.warn("network.step-failed", { ...about[0], stepsCount: steps.length, error: describeError(error) });
      return false;
    }
  }

  /** @param steps one, or several that are lines of one script */
  async #execute(steps: readonly NetworkStep[]): Promise<void> {
    const { kernel, wireguard, engine, podId } = this.#given;
    const [step] = steps;
    switch (step?.kind) {
      case undefined:
        return;
      case "make-bridge": {
        const { network } = step;
        await engine.ensureNetwork(bridgeOptions(network, podId, this.#engineMajor));
        return kernel.checkSources(network.bridge);
      }
      case "remove-bridge":
        return engine.removeNetwork(step.engineNetwork);
      case "make-tunnel": {
        const pid = await wireguard.make(step.tunnel.name);
        return this.#given.quiet.noteTunnel(step.tunnel.name, pid);
      }
      case "remove-tunnel":
        return wireguard.remove(step.name);
      default:
        return kernel.run(steps.flatMap((one) => stepLines(one) ?? []));
    }
  }

  /** A container that the ledger does not know may still be in it. */
  async hasPorts(bridge: string): Promise<boolean> {
    return (await this.#given.kernel.portsOf(bridge)).length > 0;
  }

  /** A gateway that does not have its address lets nothing out: it is like one whose gateway is elsewhere and away. */
  async withTrueExits(networks: readonly DesiredNetwork[]): Promise<DesiredNetwork[]> {
    const { kernel, log } = this.#given;
    if (!networks.some(({ exit }) => exit.kind === "gateway")) return [...networks];
    const found = await kernel.interfaces();
    const present = new Set(found.flatMap(({ addresses }) => addresses.map((cidr) => cidr.split("/")[0])));
    const isMissing = ({ exit }: DesiredNetwork) => exit.kind === "gateway" && !present.has(exit.address);
    const missing = networks.filter(isMissing).map(({ environmentId, exit }) => ({ environmentId, ...exit }));
    if (missing.length > 0 && JSON.stringify(missing) !== this.#missingAddresses)
      log.error("network.gateway-without-address", { gateways: missing });
    this.#missingAddresses = JSON.stringify(missing);
    return networks.map((network) =>
      isMissing(network) ? { ...network, exit: { kind: "through", table: 0 } } : network,
    );
  }

  /** The MTU of the interface that has this address, as it was seen last; null when none has it. */
  async mtuOf(nodeAddress: string): Promise<number | null> {
    this.#interfaces ??= await this.#given.kernel.interfaces();
    const isNode = (cidr: string) => cidr.split("/")[0] === nodeAddress;
    return this.#interfaces.find(({ addresses }) => addresses.some(isNode))?.mtu ?? null;
  }

  /** Networks that this machine is in and that are not ours, as they were seen last. */
  async foreignNetworks(): Promise<string[]> {
    this.#interfaces ??= await this.#given.kernel.interfaces();
    return this.#interfaces
      .filter(({ name }) => !OURS.test(name) && name !== "lo")
      .flatMap(({ addresses }) => addresses.map(networkOf));
  }
}

/** Steps that follow each other and are lines of a script: those of one tunnel together, so that one fails alone. */
function groups(steps: readonly NetworkStep[]): NetworkStep[][] {
  const found: NetworkStep[][] = [];
  for (const step of steps) {
    const last = found.at(-1);
    const [first] = last ?? [];
    const joins =
      first !== undefined &&
      stepLines(step) !== null &&
      stepLines(first) !== null &&
      ownerOf(first) === ownerOf(step);
    if (joins) last?.push(step);
    else found.push([step]);
  }
  return found;
}

/** The tunnel that a step is about, or what else it shares with its neighbours. */
function ownerOf(step: NetworkStep): string {
  if ("tunnel" in step) return step.tunnel.name;
  if ("route" in step) return step.route.device;
  return step.kind;
}

function subjectOf(step: NetworkStep): string {
  if ("tunnel" in step) return step.tunnel.name;
  if ("network" in step) return step.network.bridge;
  if ("route" in step) return `${step.route.to} ${step.route.device}`;
  if ("rule" in step) return step.rule.words.join(" ");
  if ("engineNetwork" in step) return step.engineNetwork;
  return "name" in step ? step.name : String(step.priority);
}

/** `10.0.3.7/16` → `10.0.0.0/16` */
function networkOf(cidr: string): string {
  const [address = "", bits = "32"] = cidr.split("/");
  const number = address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
  const size = 2 ** (32 - Number(bits));
  const first = Math.floor(number / size) * size;
  return `${[24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join(".")}/${bits}`;
}
