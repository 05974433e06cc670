/**
 * Makes what hosts are told from what is stored: one network per environment, and the mesh of all hosts.
 *
 * Pure. The content is in a canonical order, so equal content is equal text and keeps its version.
 */
import type {
  EnvironmentNetwork,
  InstanceName,
  MeshHost,
  NetworkLink,
  NetworkMember,
  PersonPeer,
} from "@berth/shared/contracts/network.ts";
import type { EgressPolicy } from "@berth/shared/domain/egress-policy.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";

export interface NetworkContent {
  readonly subnet: string;
  readonly keyGeneration: number;
  readonly members: readonly NetworkMember[];
  readonly names: readonly InstanceName[];
  readonly links: readonly NetworkLink[];
  readonly egress: EgressPolicy;
  readonly gateway: EnvironmentNetwork["gateway"];
  readonly people?: readonly PersonPeer[];
}

export interface MeshContent {
  readonly podCidr: string;
  readonly hostCidr: string;
  readonly hosts: readonly MeshHost[];
}

export interface EnvironmentRow {
  readonly environmentId: EnvironmentId;
  readonly subnet: string;
  readonly keyGeneration: number;
  readonly egress: EgressPolicy;
  readonly gateway: EnvironmentNetwork["gateway"];
}

/** A link that both sides agreed on. */
export interface LinkRow extends Pick<NetworkLink, "environmentId" | "name" | "port"> {
  /** Whose containers may use it. */
  readonly consumerId: string;
  readonly serviceId: string;
}

/** A running instance of a linked service. */
export interface LinkedRow {
  readonly serviceId: string;
  readonly process: string;
  readonly address: string;
  readonly ready: boolean;
}

export interface World {
  readonly environments: readonly EnvironmentRow[];
  readonly members: readonly (NetworkMember & { readonly environmentId: string })[];
  readonly names: readonly (InstanceName & { readonly environmentId: string })[];
  readonly links: readonly LinkRow[];
  readonly linked: readonly LinkedRow[];
  readonly people: readonly (PersonPeer & { readonly environmentId: string })[];
  /** Each with all its slices, in order; null: the mesh is not asked for. */
  readonly hosts: readonly MeshHost[] | null;
  readonly podCidr: string;
  readonly hostCidr: string;
}

export interface Table {
  /** An environment's id, or `mesh`. */
  readonly name: string;
  readonly version: number;
  readonly content: unknown;
}

/** What SRV records call a process's port: a `web` process speaks HTTP, another one is known by its own name. */
export function portName(process: string): string {
  if (process === "web") return "http";
  return process
    .replaceAll(/[^a-z0-9-]/g, "-")
    .slice(0, 15)
    .replace(/-+$/, "");
}

/** @returns the tables that differ from `stored`, each with the next version */
export function planTables(world: World, stored: ReadonlyMap<string, Table>): Table[] {
  const wanted = new Map<string, unknown>(networkContents(world));
  if (world.hosts !== null) wanted.set("mesh", meshContent(world, world.hosts));
  return [...wanted]
    .map(([name, content]) => ({ name, content, version: (stored.get(name)?.version ?? 0) + 1 }))
    .filter(({ name, content }) => !sameContent(stored.get(name)?.content, content));
}

function networkContents(world: World): [string, NetworkContent][] {
  const members = Map.groupBy(world.members, ({ environmentId }) => environmentId);
  const names = Map.groupBy(world.names, ({ environmentId }) => environmentId);
  const links = Map.groupBy(world.links, ({ consumerId }) => consumerId);
  const linked = Map.groupBy(world.linked, ({ serviceId }) => serviceId);
  return world.environments.map(({ environmentId, subnet, keyGeneration, egress, gateway }) => [
    environmentId,
    {
      subnet,
      keyGeneration,
      egress,
      gateway,
      members: (members.get(environmentId) ?? [])
        .map(({ environmentId: _its, ...member }) => member)
        .sort((a, b) => compare(a.hostId, b.hostId)),
      names: (names.get(environmentId) ?? [])
        .map(({ environmentId: _its, ...name }) => name)
        .sort((a, b) => compare(nameKey(a), nameKey(b))),
      links: (links.get(environmentId) ?? [])
        .map(({ consumerId: _its, serviceId, ...link }) => ({
          ...link,
          instances: linkInstances(linked.get(serviceId) ?? []),
        }))
        .sort((a, b) => compare(`${a.name}:${a.port}`, `${b.name}:${b.port}`)),
      ...peopleOf(world, environmentId),
    },
  ]);
}

/** Those that `SERVICE.internal` means: of `web`, else of all processes. */
function linkInstances(rows: readonly LinkedRow[]): NetworkLink["instances"] {
  const web = rows.filter(({ process }) => process === "web");
  return (web.length > 0 ? web : rows)
    .map(({ address, ready }) => ({ address, ready }))
    .sort((a, b) => compare(a.address, b.address));
}

/** Left out where there are none: the content is as it was before there were any. */
function peopleOf({ people }: World, environmentId: string): Pick<NetworkContent, "people"> {
  const its = people
    .filter((one) => one.environmentId === environmentId)
    .map(({ publicKey, address, expiresAtMs }) => ({ publicKey, address, expiresAtMs }))
    .sort((a, b) => compare(a.address, b.address));
  return its.length === 0 ? {} : { people: its };
}

function meshContent({ podCidr, hostCidr }: World, hosts: readonly MeshHost[]): MeshContent {
  return { podCidr, hostCidr, hosts: hosts.toSorted((a, b) => compare(a.hostId, b.hostId)) };
}

function nameKey({ service, process, slot, address }: InstanceName): string {
  return `${service} ${process} ${String(slot).padStart(6, "0")} ${address}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** PostgreSQL gives a jsonb object's keys in its own order. */
export function sameContent(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => compare(a, b)))
      : inner,
  );
}
