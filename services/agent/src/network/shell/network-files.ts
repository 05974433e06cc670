/**
 * The host's networks on its disk: `hostDir/networks/ENVIRONMENT.json` and `mesh.json`, for root only, because they
 * hold the private keys. A file is whole or not there: it is replaced, never written over.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { EnvironmentNetwork, Mesh, WireguardKey } from "@berth/shared/contracts/network.ts";
import { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { newWireguardKeys } from "@berth/shared/kit/wireguard-keys.ts";
import { z } from "zod";
import type { HeldMesh, HeldNetwork } from "../core/network-state.ts";

const Keys = z.strictObject({ privateKey: z.string().max(60), publicKey: WireguardKey });
const NetworkFile = z.strictObject({
  format: z.literal(1),
  environmentId: EnvironmentId,
  keys: Keys,
  keyGeneration: z.int(),
  state: z.enum(["joined", "leaving"]),
  network: EnvironmentNetwork,
});
const MeshFile = z.strictObject({ format: z.literal(1), keys: Keys, mesh: Mesh.nullable() });

export interface LoadedNetworks {
  readonly networks: readonly HeldNetwork[];
  readonly mesh: HeldMesh;
  /** Files that could not be read; they were moved aside. */
  readonly damaged: readonly string[];
}

interface LastWrite {
  value: unknown;
  /** Until those before it are written. */
  isWaiting: boolean;
  written: Promise<void>;
}

export class NetworkFiles {
  readonly #folder: string;
  /** Of a file one write after another: the last one asked for is the one that stays. */
  readonly #last = new Map<string, LastWrite>();

  constructor(hostDir: string) {
    this.#folder = join(hostDir, "networks");
  }

  get folder(): string {
    return this.#folder;
  }

  /** Makes the mesh's keys when there are none. */
  async load(): Promise<LoadedNetworks> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const damaged: string[] = [];
    const networks: HeldNetwork[] = [];
    for (const name of (await readdir(this.#folder)).sort()) {
      if (!/^env_.*\.json$/.test(name)) continue;
      const parsed = NetworkFile.safeParse(await this.#read(name));
      if (parsed.success) networks.push(parsed.data);
      else damaged.push(name);
    }
    const mesh = MeshFile.safeParse(await this.#read("mesh.json"));
    if (!mesh.success && (await this.#exists("mesh.json"))) damaged.push("mesh.json");
    for (const name of damaged) await rename(join(this.#folder, name), join(this.#folder, `${name}.damaged`));
    if (mesh.success) return { networks, damaged, mesh: mesh.data };
    const made: HeldMesh = { format: 1, keys: newWireguardKeys(), mesh: null };
    await this.saveMesh(made);
    return { networks, damaged, mesh: made };
  }

  save(held: HeldNetwork): Promise<void> {
    return this.#write(fileOf(held.environmentId), held);
  }

  /** Until what was saved last is on disk. Where that failed, it is tried again now. @throws when it fails again */
  async kept(environmentId: EnvironmentId): Promise<void> {
    const name = fileOf(environmentId);
    await this.#last.get(name)?.written.catch(() => {
      const last = this.#last.get(name);
      return last && this.#write(name, last.value);
    });
  }

  saveMesh(mesh: HeldMesh): Promise<void> {
    return this.#write("mesh.json", mesh);
  }

  async forget(environmentId: EnvironmentId): Promise<void> {
    const name = fileOf(environmentId);
    await this.#last.get(name)?.written.catch(() => {});
    this.#last.delete(name);
    await rm(join(this.#folder, name), { force: true });
  }

  async #read(name: string): Promise<unknown> {
    try {
      return JSON.parse(await readFile(join(this.#folder, name), "utf8"));
    } catch {
      return null;
    }
  }

  async #exists(name: string): Promise<boolean> {
    return (await readdir(this.#folder)).includes(name);
  }

  /** On disk before it counts: a key that others were told must outlive a power cut. Of those that wait the last is written. */
  #write(name: string, value: unknown): Promise<void> {
    const before = this.#last.get(name);
    if (before?.isWaiting === true) {
      before.value = value;
      return before.written;
    }
    const last = { value, isWaiting: true, written: Promise.resolve() };
    last.written = (before?.written ?? Promise.resolve())
      .catch(() => {})
      .then(() => {
        last.isWaiting = false;
        return this.#replace(name, JSON.stringify(last.value));
      });
    this.#last.set(name, last);
    return last.written;
  }

  async #replace(name: string, text: string): Promise<void> {
    const path = join(this.#folder, name);
    const half = `${path}.${randomBytes(4).toString("hex")}.new`;
    const file = await open(half, "w", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(half, path);
  }
}

const fileOf = (environmentId: string): string => `${environmentId}.json`;
