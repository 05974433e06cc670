/**
 * The image of environments' proxies: the HAProxy that Debian installed on this host and the libraries that it loads,
 * nothing else. Its name is its content's: another HAProxy, or another OpenSSL, is another image.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import type { ProxyEngine } from "../../outbound/engine-proxies.ts";
import { runCommand } from "../../outbound/run-command.ts";

const PROGRAM = "/usr/sbin/haproxy";
const REPOSITORY = "berth-proxy";
/** HAProxy and its libraries are 20 MB. */
const MOST_BYTES = 256 * 1024 * 1024;
const PACK_MS = 30_000;

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

  /** @returns its name, once the engine has it; @throws Error when the packages are being upgraded: the next try sees the new ones */
  async ensure(): Promise<string> {
    const { reference, files } = await this.#known();
    if (await this.#engine.hasImage(reference)) return reference;
    // Whole before the engine gets any of it: what is imported under this name stays.
    const packed = await pack(files);
    if ((await describe()).reference !== reference) {
      this.#made = null;
      throw new Error(`${PROGRAM} or one of its libraries was changed while ${reference} was made`);
    }
    const [repository = "", tag = ""] = reference.split(":");
    await this.#engine.importImage(Readable.from([packed]), repository, tag);
    return reference;
  }

  /** Read once: an upgrade of the package is seen by the next agent. */
  async #known() {
    this.#made ??= await describe();
    return this.#made;
  }
}

/** @throws Error when one of them cannot be read */
async function pack(files: readonly string[]): Promise<Buffer> {
  const words = ["-C", "/", "-chf", "-", ...files.map((path) => `.${path}`)];
  const options = { encoding: "buffer", maxBuffer: MOST_BYTES, timeout: PACK_MS } as const;
  return (await promisify(execFile)("tar", words, options)).stdout;
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
