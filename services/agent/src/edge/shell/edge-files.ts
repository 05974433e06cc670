/**
 * The edge's files in its folder: state.json is the record (written and synced before an acknowledgement),
 * haproxy.cfg, hosts.map and sources.map are made from it. A configuration replaces the last good one only after
 * `haproxy -c` accepted it; whatever fails leaves the last good one in place.
 */
import { execFile } from "node:child_process";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { EdgeState, EMPTY_STATE } from "../core/edge-state.ts";

const run = promisify(execFile);
const CHECK_TIMEOUT_MS = 20_000;

export interface EdgePaths {
  readonly dir: string;
  readonly state: string;
  readonly config: string;
  readonly map: string;
  readonly sources: string;
  readonly pid: string;
}

export function edgePaths(dir: string): EdgePaths {
  return {
    dir,
    state: join(dir, "state.json"),
    config: join(dir, "haproxy.cfg"),
    map: join(dir, "hosts.map"),
    sources: join(dir, "sources.map"),
    pid: join(dir, "haproxy.pid"),
  };
}

/** Writes, syncs and renames, so that a reader or a power cut sees the old text or the new one. */
export async function writeAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o600);
  try {
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

/**
 * Puts map and configuration in place when they differ from what is there and the proxy accepts them.
 * @throws Error with the proxy's words when `haproxy -c` refuses; the files are then as before
 */
export async function installConfig(
  paths: EdgePaths,
  binary: string,
  files: { readonly config: string; readonly map: string; readonly sources: string },
): Promise<"written" | "unchanged"> {
  const before = [paths.config, paths.map, paths.sources].map(readOrNull);
  const [config, map, sources] = await Promise.all(before);
  if (sources !== files.sources) await writeAtomically(paths.sources, files.sources);
  if (map !== files.map) await writeAtomically(paths.map, files.map);
  if (config === files.config)
    return map === files.map && sources === files.sources ? "unchanged" : "written";
  const candidate = `${paths.config}.candidate`;
  await writeAtomically(candidate, files.config);
  try {
    await checkConfig(binary, candidate);
    await rename(candidate, paths.config);
  } catch (error) {
    await rm(candidate, { force: true });
    throw error;
  }
  return "written";
}

async function checkConfig(binary: string, path: string): Promise<void> {
  try {
    await run(binary, ["-c", "-q", "-f", path], { timeout: CHECK_TIMEOUT_MS, maxBuffer: 1024 * 1024 });
  } catch (cause) {
    const { stderr = "", message } = cause as { stderr?: string; message: string };
    const words = (stderr || message).trim().slice(-1500);
    throw new Error(`${binary} refused the edge's configuration, the last good one stays: ${words}`, {
      cause,
    });
  }
}
