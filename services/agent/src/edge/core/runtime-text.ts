/**
 * HAProxy's Runtime API as text: commands from steps, and what it prints from `show …`.
 *
 * Every name that is put into a command was checked when its table came in (host names, ids, IPv4 addresses):
 * none holds a space, a semicolon or a line end. The parsers are strict, because what they return decides
 * whether an acknowledgement is true.
 */
import { assertNever } from "@berth/shared/domain/assert.ts";
import { endpointOf, isActivator, isPassName, isSlotName, OTHER_HOST } from "./edge-state.ts";
import type { ObservedServer, ObservedSources, Step } from "./plan-steps.ts";

/**
 * Checks: TCP every 15 s, every 250 ms once something looks wrong, so that a dead replica leaves after about
 * half a second. A failed connection of real traffic (layer 4 only: an app's own answers never count) starts
 * the fast checks at once; it does not by itself take the server out. So the slow ones are for replicas that nobody asks, and
 * every edge checks every replica of the pod: with hundreds of them that is most of what they cost at rest.
 * Of idle connections few are kept, and half of those that nobody needed go every 2 s. A server that is added to a running
 * proxy keeps none unless it is told to.
 */
export const SERVER_OPTIONS =
  "pool-max-conn 64 pool-purge-delay 2s check inter 15s fastinter 250ms downinter 500ms fall 2 rise 1 observe layer4 error-limit 3 on-error fastinter";

/**
 * The activator is one for all sleepers: checks of it by each of them would only cost. A connection to it becomes one to
 * an instance, so it is not used again.
 */
export function serverOptions(slot: string, server: { readonly name: string }): string {
  if (isPassName(slot)) return server.name.startsWith(OTHER_HOST) ? `${PROXY_OPTIONS} backup` : PROXY_OPTIONS;
  return isActivator(server) ? "pool-max-conn 0" : SERVER_OPTIONS;
}

/**
 * Of an environment's proxy. It is told who the client is. One that takes no connection is out at once, so that the
 * next try goes to another host's.
 */
const PROXY_OPTIONS =
  "send-proxy-v2 check inter 2s fastinter 250ms downinter 250ms fall 2 rise 1 observe layer4 error-limit 1 on-error mark-down";

export interface Command {
  readonly text: string;
  /** Answers that mean success besides an empty one. */
  readonly expect: RegExp | null;
  /** Answers that mean it was not done now and the next round asks again. */
  readonly later: RegExp | null;
}

const command = (text: string, expect: RegExp | null = null, later: RegExp | null = null): Command => {
  if (/[\n;\\]/.test(text)) throw new Error(`not a single Runtime API command: ${JSON.stringify(text)}`);
  return { text, expect, later };
};

/** The paths by which the configuration names its maps. */
export interface MapFiles {
  /** Host name → slot. */
  readonly mapFile: string;
  /** Name of a handshake → backend; null for a proxy that opens all that comes. */
  readonly namesFile: string | null;
  /** Keys of `sourceKey`: which host names are closed, and to whom they are open. */
  readonly sourcesFile: string;
}

/** `NETWORK@HOST`: may reach it. `@HOST`: nobody else does. A host name has no `@`. */
export function sourceKey(hostname: string, cidr = ""): string {
  return `${cidr}@${hostname}`;
}

export function commandsOf(step: Step, { mapFile, sourcesFile, namesFile }: MapFiles): Command[] {
  switch (step.kind) {
    case "add-server": {
      const { name } = step.server;
      const added = /^New server registered\.$/;
      const options = serverOptions(step.slot, step.server);
      const text = `add server ${step.slot}/${name} ${endpointOf(step.server)} ${options}`;
      const add = command(text.trimEnd(), added);
      return [add, ...readyCommands(step.slot, name)];
    }
    case "ready-server":
      return readyCommands(step.slot, step.name);
    case "add-host":
      return [command(`add map ${mapFile} ${step.hostname} ${step.slot}`)];
    case "move-host":
      return [command(`set map ${mapFile} ${step.hostname} ${step.slot}`)];
    case "remove-host":
      return [command(`del map ${mapFile} ${step.hostname}`)];
    case "pass-name":
      return [command(`${step.isNew ? "add" : "set"} map ${namesFile} ${step.name} ${step.pass}`)];
    case "open-name":
      return [command(`del map ${namesFile} ${step.name}`)];
    case "allow-source":
      return [command(`add map ${sourcesFile} ${sourceKey(step.hostname, step.cidr)} 1`)];
    case "close-host":
      return [command(`add map ${sourcesFile} ${sourceKey(step.hostname)} 1`)];
    case "refuse-source":
      return [command(`del map ${sourcesFile} ${sourceKey(step.hostname, step.cidr)}`)];
    case "open-host":
      return [command(`del map ${sourcesFile} ${sourceKey(step.hostname)}`)];
    case "drain-server":
      return [command(`set server ${step.slot}/${step.name} state drain`)];
    case "remove-server": {
      const path = `${step.slot}/${step.name}`;
      const end = step.endConnections ? [command(`shutdown sessions server ${path}`)] : [];
      // The proxy itself knows best: `used_cur` of `show servers conn` does not count WebSockets (2.6).
      const busy = /^Server still has connections attached/i;
      return [
        command(`set server ${path} state maint`),
        ...end,
        command(`del server ${path}`, /deleted/i, busy),
      ];
    }
    default:
      return assertNever(step, "step");
  }
}

function readyCommands(slot: string, name: string): Command[] {
  const ready = command(`set server ${slot}/${name} state ready`);
  return isActivator({ name }) ? [ready] : [command(`enable health ${slot}/${name}`), ready];
}

/** Columns of `show servers state`, version 1 (HAProxy 1.6 to 3.x): named in its second line. */
const COLUMNS = {
  slot: "be_name",
  name: "srv_name",
  address: "srv_addr",
  admin: "srv_admin_state",
  port: "srv_port",
};
/** Bits of srv_admin_state: any of maintenance (forced, inherited, from the configuration, by name), or drain. */
const MAINT_BITS = 0x01 | 0x02 | 0x04 | 0x20;
const DRAIN_BITS = 0x08 | 0x10;

export function parseServersState(text: string): ObservedServer[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines[0]?.trim() !== "1")
    throw new Error(`show servers state: unknown format ${JSON.stringify(lines[0])}`);
  const header = lines[1]?.replace(/^#\s*/, "").trim().split(/\s+/) ?? [];
  const at = (name: string): number => {
    const index = header.indexOf(name);
    if (index < 0) throw new Error(`show servers state: no column ${name}`);
    return index;
  };
  const index = { slot: at(COLUMNS.slot), name: at(COLUMNS.name), address: at(COLUMNS.address) };
  const more = { admin: at(COLUMNS.admin), port: at(COLUMNS.port) };
  return lines.slice(2).flatMap((line) => {
    const cells = line.trim().split(/\s+/);
    const cell = (i: number): string => cells[i] ?? "";
    if (!isSlotName(cell(index.slot))) return [];
    return {
      slot: cell(index.slot),
      name: cell(index.name),
      address: cell(index.address),
      port: Number(cell(more.port)),
      admin: adminState(Number(cell(more.admin))),
    };
  });
}

function adminState(bits: number): ObservedServer["admin"] {
  if (!Number.isInteger(bits)) throw new Error("show servers state: the admin state is not a number");
  if ((bits & MAINT_BITS) !== 0) return "maint";
  return (bits & DRAIN_BITS) !== 0 ? "drain" : "ready";
}

/** `show map FILE`: lines of `0xADDRESS key value`. */
export function parseMap(text: string): Map<string, string> {
  const hosts = new Map<string, string>();
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const [pointer, key, value] = line.trim().split(/\s+/);
    if (!pointer?.startsWith("0x") || key === undefined || value === undefined) {
      throw new Error(`show map: ${JSON.stringify(line.slice(0, 200))}`);
    }
    hosts.set(key, value);
  }
  return hosts;
}

/** `show ssl crt-list FILE`: lines of `FILE NAME`; @returns the names */
export function parseCertificateList(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => {
      const [file, name, ...rest] = line.trim().split(/\s+/);
      if (!file?.startsWith("/") || name === undefined || rest.length > 0)
        throw new Error(`show ssl crt-list: ${JSON.stringify(line.slice(0, 200))}`);
      return name;
    });
}

/** `show ssl cert FILE`; empty for one that holds nothing yet. */
export function parseFingerprint(text: string): string {
  return /^SHA1 FingerPrint: ([0-9A-F]{40})$/m.exec(text)?.[1] ?? "";
}

/** `show map` of the sources' file. */
export function parseSources(text: string): Map<string, ObservedSources> {
  const keys = [...parseMap(text).keys()].map((key): [string, string] => {
    const at = key.indexOf("@");
    if (at < 0) throw new Error(`show map: ${JSON.stringify(key)} is no host name with a network`);
    return [key.slice(at + 1), key.slice(0, at)];
  });
  return new Map(
    [...Map.groupBy(keys, ([hostname]) => hostname)].map(([hostname, its]) => {
      const cidrs = its.map(([, cidr]) => cidr);
      return [
        hostname,
        { isClosed: cidrs.includes(""), cidrs: new Set(cidrs.filter((cidr) => cidr !== "")) },
      ];
    }),
  );
}

export interface ProcessInfo {
  readonly pid: number;
  readonly description: string;
  readonly version: string;
}

export function parseInfo(text: string): ProcessInfo {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const pid = Number(fields.get("pid"));
  if (!Number.isInteger(pid) || pid <= 0) throw new Error("show info: no Pid");
  return { pid, description: fields.get("description") ?? "", version: fields.get("version") ?? "" };
}
