/**
 * `lab.json`: what this lab has made or is about to make on the machine.
 *
 * What must stay true: a thing is written here before it is made and leaves only after it is gone. So whoever
 * reads the file (the next `lab up`, `lab down` after a crash) knows everything that may exist, and nothing that
 * is not derived from this file is ever touched. Pids are not recorded: they are found by the host's namespace.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

export const HostName = z.string().regex(/^h[1-9][0-9]?$/, "a lab host is called h1 to h99");

export const Cut = z.enum(["both", "in", "out"]);
/** Which way is cut, seen from the host: `in` = it hears nothing, `out` = nobody hears it. */
export type Cut = z.infer<typeof Cut>;

export const Boot = z.object({
  /** The program that the host runs after its start; the host ends when it ends. */
  argv: z.array(z.string()).min(1),
  env: z.record(z.string(), z.string()),
});
export type Boot = z.infer<typeof Boot>;

export const HostRecord = z.object({
  name: HostName,
  number: z.int().min(1).max(99),
  boot: Boot,
  cut: Cut.nullable(),
});
export type HostRecord = z.infer<typeof HostRecord>;

export const LabRecord = z.object({
  version: z.literal(1),
  /** Tells labs on one machine apart: bridge, addresses, namespaces and control groups carry it. */
  index: z.int().min(0).max(99),
  rootfs: z.string(),
  checkout: z.string(),
  /** True when this lab mounted /run/netns, so that the last one to leave unmounts it. */
  madeNetnsMount: z.boolean(),
  /** True when the control plane in the state folder was made for this lab, and goes with it. */
  withPod: z.boolean(),
  hosts: z.array(HostRecord).max(99),
  /** Where containers are: CIDR → the name of the lab host that has them. */
  routes: z.record(z.cidrv4(), HostName),
});
export type LabRecord = z.infer<typeof LabRecord>;

export function labFolder(stateDir: string): string {
  return join(stateDir, "lab");
}

function recordPath(stateDir: string): string {
  return join(labFolder(stateDir), "lab.json");
}

/**
 * @returns null when this state folder has no lab.
 * @throws Error when there is a record that cannot be understood: then nothing may be guessed.
 */
export function readRecord(stateDir: string): LabRecord | null {
  const path = recordPath(stateDir);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  const parsed = LabRecord.safeParse(JSON.parse(text));
  if (!parsed.success) throw new Error(`${path} is not a lab's record: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

export function writeRecord(stateDir: string, record: LabRecord): void {
  mkdirSync(labFolder(stateDir), { recursive: true, mode: 0o700 });
  const path = recordPath(stateDir);
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

export function deleteRecord(stateDir: string): void {
  rmSync(recordPath(stateDir), { force: true });
}

/**
 * Reads, changes and writes without a pause, so callers in one process cannot lose each other's change.
 * @throws Error when there is no lab.
 */
export function changeRecord(stateDir: string, change: (record: LabRecord) => LabRecord): LabRecord {
  const record = readRecord(stateDir);
  if (record === null) throw new Error(`${stateDir} has no lab: 'berth lab up' makes one`);
  const changed = change(record);
  writeRecord(stateDir, changed);
  return changed;
}

/** @throws Error when the lab has no such host. */
export function findHost(record: LabRecord, name: string): HostRecord {
  const host = record.hosts.find((one) => one.name === name);
  if (host !== undefined) return host;
  throw new Error(`the lab has no host ${name}; it has ${record.hosts.map((one) => one.name).join(", ")}`);
}
