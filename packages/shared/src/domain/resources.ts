/** What a job may use and what a host has, with the unit in every name. */
import { z } from "zod";

export const MIB = 1024 ** 2;
export const GIB = 1024 ** 3;

/** Hard limits of one job's container. All of them are always set. */
export const Resources = z.strictObject({
  memoryBytes: z
    .int()
    .min(16 * MIB)
    .max(1024 * GIB),
  /** Thousandths of one CPU. */
  cpuMillis: z.int().min(10).max(256_000),
  /** Writable layer, volumes not included; checked against the host's free disk. */
  diskBytes: z
    .int()
    .min(0)
    .max(1024 * GIB),
  /** Processes and threads. */
  pidsCount: z.int().min(8).max(32_768),
});
export type Resources = z.infer<typeof Resources>;

export const DEFAULT_RESOURCES: Resources = {
  memoryBytes: 256 * MIB,
  cpuMillis: 500,
  diskBytes: 256 * MIB,
  pidsCount: 256,
};

const UNITS: Record<string, number> = {
  "": 1,
  b: 1,
  k: 1024,
  kb: 1024,
  kib: 1024,
  m: MIB,
  mb: MIB,
  mib: MIB,
  g: GIB,
  gb: GIB,
  gib: GIB,
};

/**
 * Reads a size such as `512MB`, `1.5g` or `1073741824`; units are powers of 1,024.
 * @returns bytes, or null when the text is not a size
 */
export function parseBytes(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  if (match === null) return null;
  const factor = UNITS[(match[2] ?? "").toLowerCase()];
  return factor === undefined ? null : Math.round(Number(match[1]) * factor);
}

/** Prints bytes for people: `256 MiB`, `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  if (bytes >= GIB) return `${Number((bytes / GIB).toFixed(1))} GiB`;
  if (bytes >= MIB) return `${Number((bytes / MIB).toFixed(1))} MiB`;
  if (bytes >= 1024) return `${Number((bytes / 1024).toFixed(1))} KiB`;
  return `${bytes} B`;
}
