/**
 * Where this machine gets Debian and its security updates from: its own apt sources. Nothing here names a host, so an
 * operator behind a mirror or a proxy has already said everything.
 */
import { readdir, readFile } from "node:fs/promises";
import { type AptSource, parseDeb822, parseOneLine } from "../install/apt-sources.ts";
import { debianMirror } from "../install/debian-packages.ts";

export interface DebianMirrors {
  /** The archive, for example `http://mirror.example/debian`. */
  readonly main: string;
  /** The security archive, or null when the machine has none. */
  readonly security: string | null;
}

/** @throws Error when the machine's apt sources name no Debian archive */
export async function debianMirrors(): Promise<DebianMirrors> {
  const main = await debianMirror();
  const sources: AptSource[] = [];
  const parts = await readdir("/etc/apt/sources.list.d").catch(() => []);
  for (const path of ["/etc/apt/sources.list", ...parts.map((part) => `/etc/apt/sources.list.d/${part}`)]) {
    const text = await readFile(path, "utf8").catch(() => "");
    sources.push(
      ...(path.endsWith(".sources") ? parseDeb822(text) : path.endsWith(".list") ? parseOneLine(text) : []),
    );
  }
  const security = sources.find((source) => source.suites.some((suite) => suite.endsWith("-security")));
  return { main: main.uri, security: security?.uri ?? null };
}
