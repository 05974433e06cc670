/**
 * All networks of this host: joins environments, keeps bridges, tunnels, routes and rules as they should be, leaves.
 *
 * What must stay true: rules are in place before a container can be in a bridge; what is on disk is enough to make
 * all of it again without the control plane; an agent that starts again touches nothing that is right; an order
 * that overlaps what the host holds is refused.
 */
import type { EnvironmentNetwork, Mesh } from "@berth/shared/contracts/network.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { newWireguardKeys } from "@berth/shared/kit/wireguard-keys.ts";
import { EngineError } from "../outbound/engine-call.ts";
import { AppliedVersions } from "./applied-versions.ts";
import { neededWithoutJobs } from "./core/needed-networks.ts";
import {
  type DesiredHost,
  type DesiredNetwork,
  desiredHost,
  type HeldMesh,
  type HeldNetwork,
  interfaceNames,
  joinNeed,
  memberOf,
  orderProblem,
  tunnelMtu,
  withoutExpired,
} from "./core/network-state.ts";
import { missingBridges, type ObservedTunnel, planNetwork, withFewRemovals } from "./core/plan-network.ts";
import type { HostNetworksGiven, JobNetwork } from "./host-networks-given.ts";
import { NameKeeper, onlyNamesDiffer } from "./name-keeper.ts";
import { Resting } from "./resting.ts";
import { SharedRuns } from "./shared-runs.ts";
import type { Seen } from "./shell/network-hands.ts";
import { isUdpPortFree } from "./shell/udp-port.ts";
import { Standing } from "./standing.ts";
import { UnusedSince } from "./unused-since.ts";

const MAX_BUSY_PORTS = 20;
const REMOVALS_AT_ONCE = 10;
const JOIN_PATIENCE_MS = 200;
/** Of so many environments at once the network service is told that this host left. */
const LEAVES_AT_ONCE = 20;

export class HostNetworks {
  /** Who changes it applies it. */
  readonly resting = new Resting();
  readonly #given: HostNetworksGiven;
  readonly #held = new Map<EnvironmentId, HeldNetwork>();
  readonly #joining = new Map<EnvironmentId, Promise<void>>();
  readonly #unused = new UnusedSince();
  /** Environments with jobs here, as told last, and those that asked since. */
  #used: ReadonlySet<string> = new Set();
  readonly #standing = new Standing();
  #mesh: HeldMesh | null = null;
  #neighbours = { revision: -1, nodeAddresses: [] as readonly string[] };
  #foreign: readonly string[] = [];
  #proxies: readonly string[] = [];
  #mtu = 1500;
  readonly #names: NameKeeper;
  readonly #applied: AppliedVersions;
  readonly #runs = new SharedRuns((mayGiveWay) => this.#run(mayGiveWay));
  #nextSeen: Seen | null = null;
  #turn = 0;
  readonly #notKept = (error: unknown): void =>
    this.#given.log.error("network.not-kept", { error: describeError(error) });

  constructor(given: HostNetworksGiven) {
    this.#given = given;
    this.#applied = new AppliedVersions((versions) => given.ask.applied(versions));
    this.#names = new NameKeeper({
      ...{ ...given, standing: this.#standing },
      held: (environmentId) => this.#held.get(environmentId as EnvironmentId),
      desired: () => this.desired()?.networks ?? [],
    });
  }

  /** Start is recovery: everything from disk, then as it should be. */
  async open(): Promise<void> {
    const { files, hands, log } = this.#given;
    const { networks, mesh, damaged } = await files.load();
    if (damaged.length > 0) log.error("network.files-damaged", { files: damaged });
    for (const held of networks) this.#held.set(held.environmentId, held);
    this.#mesh = mesh;
    await hands.open();
    await this.apply();
    log.info("network.open", { environments: networks.length });
  }

  /**
   * The environment's network, which stands when this resolves.
   * @throws EngineError 409 when the host is not let in; another error is worth another try
   */
  async ensure(environmentId: EnvironmentId): Promise<JobNetwork> {
    const { clock, files, log } = this.#given;
    const beganMs = clock.monotonicMs();
    this.#unused.noteNeeded(environmentId);
    this.#used = new Set([...this.#used, environmentId]);
    const isStanding = this.#standing.has(environmentId);
    const isJoined = this.#held.get(environmentId)?.state === "joined";
    if (!isJoined) await this.#joinOnce(environmentId);
    const joinedMs = clock.monotonicMs() - beganMs;
    if (isStanding && !isJoined) await this.apply();
    else if (!this.#standing.has(environmentId))
      // The run under way may make the bridge. What comes after it, such as a tunnel to a second host, is not waited for.
      await this.#standing.until(environmentId, this.apply());
    const network = this.desiredOf(environmentId);
    if (network === undefined || !this.#standing.has(environmentId))
      throw new Error(`the network of ${environmentId} does not stand yet`);
    await files.kept(environmentId);
    void this.#joinMissing();
    const tookMs = Math.round(clock.monotonicMs() - beganMs);
    if (!isStanding) log.info("network.stands", { environmentId, tookMs, joinedMs: Math.round(joinedMs) });
    return { networkName: network.engineNetwork, place: network, resolver: network.gateway };
  }

  /**
   * One join of an environment at a time: two with different keys might be answered in another order than they were
   * stored, and the others would send to a key that nobody has.
   */
  #joinOnce(environmentId: EnvironmentId, fresh: { keyGeneration: number } | null = null): Promise<void> {
    const under = this.#joining.get(environmentId);
    if (under !== undefined) return under;
    const joining = this.#join(environmentId, fresh).finally(() => this.#joining.delete(environmentId));
    this.#joining.set(environmentId, joining);
    return joining;
  }

  async #join(environmentId: EnvironmentId, fresh: { keyGeneration: number } | null): Promise<void> {
    const { ask, files, log, identity } = this.#given;
    const before = this.#held.get(environmentId);
    const keys = fresh === null ? (before?.keys ?? newWireguardKeys()) : newWireguardKeys();
    const keyGeneration = fresh?.keyGeneration ?? before?.keyGeneration ?? 0;
    const busyPorts: number[] = [];
    for (;;) {
      const known = { keyGeneration, busyPorts, meshVersion: this.#mesh?.mesh?.version ?? 0 };
      const reply = await ask.join({ environmentId, publicKey: keys.publicKey, ...known });
      if (reply.answer === "refused") throw new EngineError("network", 409, new Error(reply.reason));
      const { network, mesh } = reply;
      const port = memberOf(network, identity.hostId)?.port ?? 0;
      const isOwn = before !== undefined && memberOf(before.network, identity.hostId)?.port === port;
      if (!isOwn && busyPorts.length < MAX_BUSY_PORTS && !(await isUdpPortFree(port))) {
        busyPorts.push(port);
        continue;
      }
      this.#foreign = await this.#given.hands.foreignNetworks();
      const held = [...this.#held.values()];
      const podCidr = (mesh ?? this.#mesh?.mesh)?.podCidr ?? network.subnet;
      const problem = orderProblem(network, identity.hostId, podCidr, held, this.#foreign);
      if (problem !== null) {
        log.error("network.order-refused", { environmentId, problem });
        throw new EngineError("network", 409, new Error(`this host cannot join the network: ${problem}`));
      }
      // A signal may have told a newer version while the answer was on its way.
      const told = this.#held.get(environmentId)?.network;
      const newest = told !== undefined && told.version > network.version ? told : network;
      const own = { keys, keyGeneration, network: newest };
      const joined: HeldNetwork = { format: 1, environmentId, state: "joined", ...own };
      this.#held.set(environmentId, joined);
      // A start waits for it only after all else.
      void files.save(joined).catch(this.#notKept);
      this.#keepMesh(mesh);
      const { subnet, members } = network;
      return log.info("network.joined", { environmentId, subnet, members: members.length });
    }
  }

  /** A new version of a network that this host is in. An older one, or one that overlaps, changes nothing. */
  async take(network: EnvironmentNetwork): Promise<void> {
    const { environmentId } = network;
    const { identity, log, files } = this.#given;
    const held = this.#held.get(environmentId);
    if (held === undefined || held.network.version >= network.version) return;
    const [own, before] = [network, held.network].map((one) => memberOf(one, identity.hostId));
    // Not a member any more, or elsewhere: only a join of our own changes that.
    if (own === undefined || own.slice !== before?.slice) return;
    const podCidr = this.#mesh?.mesh?.podCidr ?? network.subnet;
    const problem = orderProblem(network, identity.hostId, podCidr, [...this.#held.values()], this.#foreign);
    if (problem !== null) return log.error("network.order-refused", { environmentId, problem });
    const taken = { ...held, network };
    this.#held.set(environmentId, taken);
    if (onlyNamesDiffer(held.network, network)) {
      this.#applied.noteNames(environmentId, held.network.version, network.version);
      return this.#names.noteChanged(environmentId);
    }
    await files.save(taken);
    if (network.keyGeneration > held.keyGeneration) await this.#joinOnce(environmentId, network);
    await this.apply();
    await this.#joinMissing();
  }

  #needed(): Set<EnvironmentId> {
    return neededWithoutJobs([...this.#held.values()], this.#used, this.#given.identity.hostId);
  }

  /** What fails is tried again in the next round. */
  async #joinMissing(gatewayOf: readonly EnvironmentId[] = []): Promise<void> {
    const missing = [...new Set([...this.#needed(), ...gatewayOf])].filter(
      (id) => this.#held.get(id)?.state !== "joined",
    );
    for (const environmentId of missing)
      await this.#joinOnce(environmentId).catch((cause: unknown) =>
        this.#given.log.warn("network.join-waits", { environmentId, error: describeError(cause) }),
      );
    if (missing.length > 0) await this.apply().catch(() => {});
  }

  /** Another key for the environment's tunnel of this host; the others are told by the network service. */
  async newKey(environmentId: EnvironmentId): Promise<void> {
    const held = this.#held.get(environmentId);
    if (held?.state !== "joined") return;
    await this.#joinOnce(environmentId, { keyGeneration: held.keyGeneration });
    await this.apply();
  }

  /** What comes while a join is under way is applied with it: the bridge that somebody waits for comes before tunnels. */
  async takeMesh(mesh: Mesh): Promise<void> {
    if (!this.#keepMesh(mesh)) return;
    const joins = [...this.#joining.values()];
    if (joins.length > 0) await Promise.race([Promise.allSettled(joins), sleep(JOIN_PATIENCE_MS)]);
    await this.apply();
  }

  /** @returns whether it was newer */
  #keepMesh(mesh: Mesh | null): boolean {
    const held = this.#mesh;
    if (mesh === null || held === null || (held.mesh !== null && held.mesh.version >= mesh.version))
      return false;
    if (held.mesh !== null && held.mesh.podCidr !== mesh.podCidr && this.#held.size > 0) {
      const problem = `the pod's range changed from ${held.mesh.podCidr} to ${mesh.podCidr}`;
      this.#given.log.error("network.order-refused", { problem });
      return false;
    }
    this.#mesh = { ...held, mesh };
    // Its keys are on disk since they were made; a mesh that is behind costs a start one question.
    void this.#given.files.saveMesh(this.#mesh).catch(this.#notKept);
    return true;
  }

  /** Addresses of all hosts, which containers must not reach; known also before the mesh is. */
  async setNeighbours(revision: number, nodeAddresses: readonly string[]): Promise<void> {
    if (revision < this.#neighbours.revision) return;
    const before = this.#neighbours.nodeAddresses.join();
    this.#neighbours = { revision, nodeAddresses };
    if (nodeAddresses.join() !== before) await this.apply();
  }

  /** Addresses of environments' proxies on this host: what they may reach holds when this resolves. */
  async setProxies(addresses: readonly string[]): Promise<void> {
    const before = this.#proxies.join();
    this.#proxies = addresses.toSorted();
    if (this.#proxies.join() !== before) await this.apply();
  }

  /** Asks what it may have missed; joins again where the network service does not know it. */
  async sync(): Promise<void> {
    const { ask, identity } = this.#given;
    const known = Object.fromEntries([...this.#held].map(([id, { network }]) => [id, network.version]));
    const { versions, networks, mesh, gatewayOf } = await ask.get(known, this.#mesh?.mesh?.version ?? 0);
    if (mesh !== null) await this.takeMesh(mesh);
    const own = this.#mesh?.mesh?.hosts.find(({ hostId }) => hostId === identity.hostId);
    const keys = this.#mesh?.keys;
    if (keys !== undefined && (own?.publicKey !== keys.publicKey || own.port !== identity.meshPort))
      await this.takeMesh(await ask.joinMesh(keys.publicKey, identity.meshPort));
    for (const network of networks) await this.take(network);
    const all = [...this.#held.values()];
    await this.#tellLeft(all.filter(({ state }) => state === "leaving"));
    for (const held of all.filter(({ state }) => state === "joined"))
      await this.#joinAgain(held, versions[held.environmentId] !== undefined);
    await this.#joinMissing(gatewayOf);
  }

  async #joinAgain(held: HeldNetwork, isKnown: boolean): Promise<void> {
    const { environmentId, network } = held;
    const need = joinNeed(held, isKnown, this.#given.identity.hostId);
    if (need === "none") return;
    try {
      await this.#joinOnce(environmentId, need === "new-keys" ? network : null);
      await this.apply();
    } catch (error) {
      this.#given.log.error("network.not-let-in", { environmentId, error: describeError(error) });
    }
  }

  /** @param used environments that have jobs here: the others are left after a while */
  async leaveUnused(used: ReadonlySet<string>): Promise<void> {
    const { clock, leaveAfterMs, hands, files, log } = this.#given;
    this.#used = used;
    const needed = new Set<string>([...used, ...this.#needed()]);
    let changed = false;
    for (const held of this.#unused.due(this.#held.values(), needed, clock.monotonicMs(), leaveAfterMs)) {
      const { environmentId } = held;
      // A container that the ledger does not know may still be in it.
      const isBusy =
        this.#joining.has(environmentId) || (await hands.hasPorts(interfaceNames(environmentId).bridge));
      if (isBusy || !this.#unused.has(environmentId)) continue;
      const leaving: HeldNetwork = { ...held, state: "leaving" };
      this.#held.set(environmentId, leaving);
      await files.save(leaving);
      log.info("network.leaving", { environmentId });
      changed = true;
    }
    if (changed) await this.apply();
  }

  async #tellLeft(leaving: readonly HeldNetwork[]): Promise<void> {
    if (leaving.length === 0) return;
    await this.apply();
    const gone = leaving.filter(({ environmentId }) => !this.#standing.has(environmentId));
    for (let at = 0; at < gone.length; at += LEAVES_AT_ONCE)
      await Promise.all(gone.slice(at, at + LEAVES_AT_ONCE).map((one) => this.#tellGone(one)));
  }

  async #tellGone({ environmentId }: HeldNetwork): Promise<void> {
    await this.#given.ask.leave(environmentId);
    if (this.#held.get(environmentId)?.state !== "leaving") return;
    await this.#given.files.forget(environmentId);
    this.#held.delete(environmentId);
    this.#unused.noteNeeded(environmentId);
    this.#given.log.info("network.left", { environmentId });
  }

  /**
   * Puts everything as it should be. Callers at the same time share one run, which begins after they called.
   * @param seen a look to go by; null: what was seen last, and done since, holds. So a change of our own costs the same
   *   with one network and with hundreds
   */
  apply(seen: Seen | null = null): Promise<void> {
    this.#nextSeen = seen ?? this.#nextSeen;
    return this.#runs.start();
  }

  /** Looks at everything beside the changes, which do not wait for it, and puts right what somebody else changed. */
  async look(): Promise<void> {
    if (this.desired() === null) return;
    await this.apply(await this.#given.hands.look());
    await this.#names.lookAtAll(this.desired()?.networks ?? []);
  }

  /** As the last look saw them. */
  get tunnels(): readonly ObservedTunnel[] {
    return this.#given.hands.tunnels;
  }

  desired(of: Iterable<HeldNetwork> = this.#held.values()): DesiredHost | null {
    const { identity, clock } = this.#given;
    const own = { ...identity, mtu: tunnelMtu(this.#mtu) };
    const held = Array.from(of, (one) => withoutExpired(one, clock.nowMs()));
    return this.#mesh && desiredHost(own, this.#mesh, held, this.resting.ids);
  }

  /** Of one alone: all of them take a while. Undefined while the host is not in it. */
  desiredOf(environmentId: EnvironmentId): DesiredNetwork | undefined {
    const held = this.#held.get(environmentId);
    return held === undefined ? undefined : this.desired([held])?.networks[0];
  }

  /** To which versions this host holds, once more. */
  tellApplied(): void {
    this.#applied.again();
  }

  /** @returns false: another environment's bridge is waited for, and what is left comes after it */
  async #run(mayGiveWay: boolean): Promise<boolean> {
    const { hands, identity, allowedPrivate, mailRelays } = this.#given;
    const seen = this.#nextSeen;
    this.#nextSeen = null;
    this.#mtu = (await hands.mtuOf(identity.nodeAddress)) ?? this.#mtu;
    const held = [...this.#held.values()];
    const desired = this.desired();
    if (desired === null) return true;
    const nodeAddresses = [...new Set([...desired.nodeAddresses, ...this.#neighbours.nodeAddresses])].sort();
    const networks = await hands.withTrueExits(desired.networks);
    const { host: observed, filter } = await hands.take(seen);
    const rules = { nodeAddresses, allowedPrivate, mailRelays, proxies: this.#proxies };
    const ruled = hands.ensureRules({ ...desired, networks, ...rules }, filter);
    const planned = planNetwork(desired, observed);
    const steps = withFewRemovals(planned, REMOVALS_AT_ONCE, this.#turn++);
    // Its rules stand and its resolver answers before a container is in it.
    const onBridge = async (network: DesiredNetwork) => {
      await Promise.all([ruled, this.#names.tell(network)]);
      this.#standing.add(network.environmentId);
    };
    const own = new Set(held.map(({ environmentId }) => environmentId));
    const isToGiveWay = () => mayGiveWay && this.#standing.isAwaitedBeside(own);
    const { now, isWhole, gaveWay } = await hands.carryOut(steps, observed, { ruled, onBridge, isToGiveWay });
    if (isWhole && steps.length < planned.length) void this.apply().catch(() => {});
    const { engineNetworks } = now;
    const names = new Set(engineNetworks.map((one) => one.name));
    const stands = (id: EnvironmentId) => names.has(interfaceNames(id).engineNetwork);
    this.#standing.replace(new Set([...this.#held.keys()].filter(stands)));
    if (gaveWay) return false;
    for (const { environmentId, engineNetwork, slice } of missingBridges(desired.networks, engineNetworks))
      this.#given.log.error("network.bridge-missing", { environmentId, engineNetwork, slice });
    await this.#names.tellAll(desired.networks);
    if (isWhole) this.#applied.note(held, this.#standing.all, this.#used);
    return true;
  }
}
