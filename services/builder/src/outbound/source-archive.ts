/**
 * A pushed source bundle (tar, zstd) made ready for a build.
 *
 * The bundle was written by the platform from a commit, but every name and link in it is the customer's. It is
 * read once, as a stream: sizes and counts are limited, entries that could leave the folder are refused,
 * everything becomes the build user's, and the few files that decide how to build are kept in memory.
 * Nothing is written to this machine's file system under a customer's name here.
 */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import { MAX_APP_FILE_BYTES } from "@berth/shared/kit/yaml-file.ts";
import { extract, type Header, pack } from "tar-stream";
import { BuildStopped } from "../core/build-stopped.ts";

export interface SourceLimits {
  readonly maxBytes: number;
  readonly maxEntries: number;
}

export interface Source {
  /** Plain tar with relative names, every entry owned by the build user. */
  readonly tarPath: string;
  readonly topFiles: readonly string[];
  readonly dockerfile: string | null;
  readonly procfile: string | null;
  readonly berthYaml: string | null;
  readonly appJson: string | null;
  readonly herokuYml: string | null;
  readonly buildpacksFile: string | null;
}

const BUILD_UID = 1000;
const KEPT_FILES = new Map([
  ["Dockerfile", 300 * 1024],
  ["Procfile", 64 * 1024],
  // A byte more than is allowed, so that a larger one is refused and not cut.
  ["berth.yaml", MAX_APP_FILE_BYTES + 1],
  ["app.json", MAX_APP_FILE_BYTES + 1],
  ["heroku.yml", MAX_APP_FILE_BYTES + 1],
  [".buildpacks", 16 * 1024],
  [".dockerignore", 64 * 1024],
]);

/** @throws BuildStopped `unsafe-source`, `source-too-large`; other errors when the bundle itself is broken */
export async function unpackSource(
  bundle: Readable,
  tarPath: string,
  limits: SourceLimits,
  signal: AbortSignal,
): Promise<Source> {
  const kept = new Map<string, string>();
  const seen = new EntryChecks(limits);
  const out = pack();
  const written = pipeline(out, createWriteStream(tarPath, { mode: 0o600 }), { signal });
  const reader = extract();
  const read = pipeline(bundle, createZstdDecompress(), reader, { signal });
  // Both are awaited below; a failure of one must not count as unhandled while the other still runs.
  written.catch(() => undefined);
  read.catch(() => undefined);
  try {
    for await (const entry of reader) {
      const header = seen.check(entry.header);
      if (header === null) {
        entry.resume();
        continue;
      }
      const keepBytes = KEPT_FILES.get(header.name);
      const chunks: Buffer[] = [];
      const target = out.entry(header) as unknown as Writable;
      for await (const chunk of entry as AsyncIterable<Buffer>) {
        if (keepBytes !== undefined && sum(chunks) < keepBytes) chunks.push(chunk);
        if (!target.write(chunk)) await once(target, "drain");
      }
      target.end();
      if (keepBytes !== undefined)
        kept.set(header.name, Buffer.concat(chunks).subarray(0, keepBytes).toString("utf8"));
    }
    await read;
    out.finalize();
    await written;
  } catch (error) {
    out.destroy();
    reader.destroy();
    throw error;
  }
  const file = (name: string): string | null => kept.get(name) ?? null;
  return {
    tarPath,
    topFiles: seen.topNames(),
    dockerfile: file("Dockerfile"),
    procfile: file("Procfile"),
    berthYaml: file("berth.yaml"),
    appJson: file("app.json"),
    herokuYml: file("heroku.yml"),
    buildpacksFile: file(".buildpacks"),
  };
}

function sum(chunks: readonly Buffer[]): number {
  return chunks.reduce((total, chunk) => total + chunk.byteLength, 0);
}

/** The running checks over all entries of one bundle. */
class EntryChecks {
  readonly #limits: SourceLimits;
  readonly #links = new Set<string>();
  readonly #top = new Set<string>();
  #entries = 0;
  #bytes = 0;

  constructor(limits: SourceLimits) {
    this.#limits = limits;
  }

  /** @returns the header to write, or null for an entry that is only bookkeeping */
  check(header: Header): Header | null {
    this.#entries += 1;
    this.#bytes += header.size ?? 0;
    if (this.#entries > this.#limits.maxEntries)
      tooLarge(`${String(this.#limits.maxEntries)} files and folders`);
    if (this.#bytes > this.#limits.maxBytes)
      tooLarge(`${String(Math.round(this.#limits.maxBytes / 1024 ** 2))} MiB`);
    const name = header.name.replace(/^(\.\/)+/, "").replace(/\/+$/, "");
    if (name === "" || name === ".") return null;
    this.#checkName(name, header);
    if (!name.includes("/") && this.#top.size < 2000) this.#top.add(name);
    const directory = header.type === "directory";
    const mode = directory || ((header.mode ?? 0) & 0o100) !== 0 ? 0o755 : 0o644;
    const base = { ...header, name, mode, uid: BUILD_UID, gid: BUILD_UID, uname: "app", gname: "app" };
    // The long name, if there was one, is in `name` now; writing it needs no old extended header.
    delete (base as { pax?: unknown }).pax;
    return base as Header;
  }

  topNames(): string[] {
    return [...this.#top].sort();
  }

  #checkName(name: string, header: Header): void {
    const parts = name.split("/");
    const shown = JSON.stringify(name.slice(0, 200));
    if (name.startsWith("/") || parts.includes("..") || name.includes("\0"))
      unsafe(`${shown} leads out of the repository`);
    if (!["file", "contiguous-file", "directory", "symlink"].includes(header.type ?? "")) {
      unsafe(`${shown} is neither a file, a folder nor a symbolic link`);
    }
    for (let depth = 1; depth < parts.length; depth += 1) {
      if (this.#links.has(parts.slice(0, depth).join("/"))) unsafe(`${shown} lies below a symbolic link`);
    }
    if (header.type !== "symlink") return;
    if (KEPT_FILES.has(name)) unsafe(`${shown} is a symbolic link and must be a plain file`);
    this.#links.add(name);
  }
}

function unsafe(detail: string): never {
  throw new BuildStopped({ code: "unsafe-source", detail });
}

function tooLarge(limit: string): never {
  throw new BuildStopped({ code: "source-too-large", limit });
}
