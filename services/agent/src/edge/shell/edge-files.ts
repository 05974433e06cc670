/**
 * The edge's files in its folder: state.json is the record (written and synced before an acknowledgement),
 * haproxy.cfg, hosts.map and sources.map are made from it. A configuration replaces the last good one only after
 * `haproxy -c` accepted it; whatever fails leaves the last good one in place.
 */
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runCommand } from "../../outbound/run-command.ts";
import { EdgeState, EMPTY_STATE } from "../core/edge-state.ts";
import { listFile } from "../core/edge-tls.ts";

const CHECK_TIMEOUT_MS = 20_000;

export interface EdgePaths {
  readonly dir: string;
  readonly state: string;
  readonly config: string;
  readonly map: string;
  readonly sources: string;
  readonly options: string;
  readonly names: string;
  /** Of the files that the proxy reads: a proxy in a container is another user. */
  readonly mode: number;
}

/** @param isContained the folder above lets nobody in, and a container sees this one alone */
export function edgePaths(dir: string, isContained = false): EdgePaths {
  return {
    dir,
    mode: isContained ? 0o444 : 0o600,
    state: join(dir, "state.json"),
    config: join(dir, "haproxy.cfg"),
    map: join(dir, "hosts.map"),
    sources: join(dir, "sources.map"),
    options: join(dir, "options.map"),
    names: join(dir, "names.map"),
  };
}

/** Writes, syncs and renames, so that a reader or a power cut sees the old text or the new one. */
export async function writeAtomically(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.chmod(mode);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export interface LoadedState {
  readonly state: EdgeState;
  /** `damaged`: the file was put aside; nothing that the proxy serves may be taken away on its account. */
  readonly origin: "read" | "absent" | "damaged";
}

export async function loadState(paths: EdgePaths): Promise<LoadedState> {
  await mkdir(paths.dir, { recursive: true, mode: 0o700 });
  const text = await readOrNull(paths.state);
  if (text === null) return { state: EMPTY_STATE, origin: "absent" };
  try {
    return { state: EdgeState.parse(JSON.parse(text)), origin: "read" };
  } catch {
    await rename(paths.state, `${paths.state}.damaged`);
    return { state: EMPTY_STATE, origin: "damaged" };
  }
}

export async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

export interface RenderedFiles {
  readonly config: string;
  readonly map: string;
  readonly sources: string;
  readonly options: string;
  readonly names: string;
  /** Null: no HTTPS. Contents by path; what else is in the folder goes. */
  readonly tls: {
    readonly dir: string;
    readonly list: string;
    readonly files: ReadonlyMap<string, string>;
  } | null;
}

/**
 * Puts maps, certificates and configuration in place when they differ from what is there and the proxy accepts them.
 * @throws Error with the proxy's words when `haproxy -c` refuses; the configuration is then as before
 */
export async function installConfig(
  paths: EdgePaths,
  binary: string,
  files: RenderedFiles,
): Promise<"written" | "unchanged"> {
  const changed = [
    files.tls !== null && (await installCertificates(files.tls, paths.mode)),
    await writeIfOther(paths.sources, files.sources, paths.mode),
    await writeIfOther(paths.options, files.options, paths.mode),
    await writeIfOther(paths.map, files.map, paths.mode),
    await writeIfOther(paths.names, files.names, paths.mode),
  ];
  if ((await readOrNull(paths.config)) !== files.config) {
    const candidate = `${paths.config}.candidate`;
    await writeAtomically(candidate, files.config, paths.mode);
    try {
      await checkConfig(binary, candidate);
      await rename(candidate, paths.config);
      changed.push(true);
    } catch (error) {
      await rm(candidate, { force: true });
      throw error;
    }
  }
  if (files.tls !== null) await writeIfOther(tlsReadyFile(files.tls.dir), "", paths.mode);
  return changed.includes(true) ? "written" : "unchanged";
}

/** It is there once a proxy may start: its other files are. */
export function tlsReadyFile(dir: string): string {
  return join(dir, "ready");
}

/** The list names only files that are there, at every moment. */
async function installCertificates(
  { dir, list, files }: NonNullable<RenderedFiles["tls"]>,
  mode: number,
): Promise<boolean> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  let changed = false;
  for (const [path, text] of files) changed = (await writeIfOther(path, text, mode)) || changed;
  changed = (await writeIfOther(listFile(dir), list, mode)) || changed;
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    if (name.endsWith(".pem") && !files.has(path)) await rm(path, { force: true });
  }
  return changed;
}

async function writeIfOther(path: string, text: string, mode: number): Promise<boolean> {
  if ((await readOrNull(path)) === text) return false;
  await writeAtomically(path, text, mode);
  return true;
}

/** Nobody waits for it, and it takes the processor from starts that somebody waits for: it comes last. */
async function checkConfig(binary: string, path: string): Promise<void> {
  const argv = ["nice", "-n", "19", binary, "-c", "-q", "-f", path];
  await runCommand(argv, { timeoutMs: CHECK_TIMEOUT_MS }).catch((cause: unknown) => {
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${binary} refused the edge's configuration, the last good one stays: ${words}`, {
      cause,
    });
  });
}
