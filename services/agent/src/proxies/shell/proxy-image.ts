/**
 * The image of environments' proxies: the HAProxy that Debian installed on this host and the libraries that it loads,
 * nothing else. Its name is its content's: another HAProxy, or another OpenSSL, is another image.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { ProxyEngine } from "../../outbound/engine-proxies.ts";
import { runCommand } from "../../outbound/run-command.ts";

const PROGRAM = "/usr/sbin/haproxy";
const REPOSITORY = "berth-proxy";

export class ProxyImage {
  readonly #engine: ProxyEngine;
  #made: { readonly reference: string; readonly files: readonly string[] } | null = null;

  constructor(engine: ProxyEngine) {
    this.#engine = engine;
  }

  /** Of what is installed now, whether the engine has it or not. */
  async reference(): Promise<string> {
    return (await this.#known()).reference;
  }

  /** @returns its name, once the engine has it */
  async ensure(): Promise<string> {
    const { reference, files } = await this.#known();
    if (await this.#engine.hasImage(reference)) return reference;
    const tar = spawn("tar", ["-C", "/", "-chf", "-", ...files.map((path) => `.${path}`)], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const [repository = "", tag = ""] = reference.split(":");
    await this.#engine.importImage(tar.stdout, repository, tag);
    return reference;
  }

  /** Read once: an upgrade of the package is seen by the next agent. */
  async #known() {
    this.#made ??= await describe();
    return this.#made;
  }
}

async function describe() {
  const version = /version (\d+\.\d+\.\d+)/.exec(await runCommand([PROGRAM, "-v"]))?.[1] ?? "unknown";
  const files = [PROGRAM, ...libraries(await runCommand(["ldd", PROGRAM]))].sort();
  const digest = createHash("sha256");
  for (const path of files) {
    digest.update(`${path}\n`).update(await readFile(path));
  }
  return { reference: `${REPOSITORY}:${version}-${digest.digest("hex").slice(0, 16)}`, files };
}

/** @returns absolute paths out of what ldd prints; what the kernel itself brings has none */
export function libraries(printed: string): string[] {
  return printed.split("\n").flatMap((line) => {
    if (line.includes("not found")) throw new Error(`the proxy's library is missing: ${line.trim()}`);
    const path = /(?:=>\s*|^\s*)(\/\S+)\s+\(0x/.exec(line)?.[1];
    return path === undefined ? [] : [path];
  });
}
