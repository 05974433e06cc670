/**
 * What the supervisor is told about one process, and the file that lists them all (`processes.json`).
 *
 * Names are unique and every name in `dependsOn` exists; `order.ts` refuses circles. The file holds no secrets
 * by value: a process gets paths of files that only its user can read, or the file itself is 0600.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

const AbsolutePath = z.string().startsWith("/").max(4096);

export const Readiness = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("tcp"), host: z.string(), port: z.int().min(1).max(65535) }),
  /** The TLS handshake is completed; the certificate is not judged, because only liveness is asked here. */
  z.object({ kind: z.literal("tls-tcp"), host: z.string(), port: z.int().min(1).max(65535) }),
  z.object({ kind: z.literal("file"), path: AbsolutePath }),
  z.object({ kind: z.literal("unix"), path: AbsolutePath }),
  /** Ready when the answer's status is below 500. */
  z.object({ kind: z.literal("http"), url: z.url() }),
  /** As `http`, over a unix socket (Docker Engine: its socket opens long before it answers). */
  z.object({ kind: z.literal("unix-http"), socket: AbsolutePath, path: z.string().startsWith("/") }),
  /** Its output since its start holds this text. An adopted process counts as ready. */
  z.object({ kind: z.literal("log"), text: z.string().min(3).max(200) }),
  /** Alive for this long. For processes that open nothing. */
  z.object({ kind: z.literal("alive"), forMs: z.int().min(0).max(60_000) }),
]);
export type Readiness = z.infer<typeof Readiness>;

export const CgroupLimits = z.object({
  memoryBytes: z.int().positive().optional(),
  cpus: z.number().positive().optional(),
  pids: z.int().positive().optional(),
});

export const ProcessSpec = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/, "a name is 1-63 of a-z, 0-9, '.' and '-'"),
  command: z.array(z.string()).min(1),
  /** The whole environment: nothing is inherited from the supervisor. */
  env: z.record(z.string(), z.string()).default({}),
  cwd: AbsolutePath.optional(),
  /** A name in /etc/passwd; its group is taken too and supplementary groups are dropped. */
  user: z.string().optional(),
  dependsOn: z.array(z.string()).default([]),
  /** Not started before this file exists (a configuration that another process writes). */
  startWhenFile: AbsolutePath.optional(),
  /** Without one, a process is ready after it was alive for a second. */
  readiness: Readiness.default({ kind: "alive", forMs: 1000 }),
  readyTimeoutMs: z.int().positive().default(30_000),
  stopSignal: z.enum(["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1"]).default("SIGTERM"),
  stopTimeoutMs: z.int().positive().default(10_000),
  /** False: a changed command or environment is taken at the next start only (dockerd holds containers). */
  restartOnChange: z.boolean().default(true),
  /** False: what is left of the process group when the leader ends stays alive (dockerd's containerd). */
  killGroupOnExit: z.boolean().default(true),
  cgroupLimits: CgroupLimits.optional(),
});
export type ProcessSpec = z.infer<typeof ProcessSpec>;
/** As written by hand: everything that has a default may be left out. */
export type ProcessSpecInput = z.input<typeof ProcessSpec>;

export const ProcessesFile = z
  .array(ProcessSpec)
  .max(200)
  .superRefine((specs, context) => {
    const names = new Set(specs.map((spec) => spec.name));
    if (names.size !== specs.length)
      context.addIssue({ code: "custom", message: "two processes have the same name" });
    for (const spec of specs) {
      for (const needed of spec.dependsOn) {
        if (!names.has(needed))
          context.addIssue({
            code: "custom",
            message: `${spec.name} depends on ${needed}, which is not in the file`,
          });
      }
    }
  });

export function processesPath(runDir: string): string {
  return join(runDir, "processes.json");
}

/** @throws Error that names the file and the field when it is not what it should be. */
export async function readProcesses(runDir: string): Promise<readonly ProcessSpec[]> {
  const path = processesPath(runDir);
  const parsed = ProcessesFile.safeParse(JSON.parse(await readFile(path, "utf8")));
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** Writes the whole list at once: a reader sees the old or the new file, never a half. */
export async function writeProcesses(runDir: string, specs: readonly ProcessSpecInput[]): Promise<void> {
  const parsed = ProcessesFile.safeParse(specs);
  if (!parsed.success) throw new Error(`process list for ${runDir}: ${z.prettifyError(parsed.error)}`);
  const path = processesPath(runDir);
  await writeFile(`${path}.new`, `${JSON.stringify(parsed.data, null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
