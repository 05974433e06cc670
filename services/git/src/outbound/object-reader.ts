/**
 * Reads objects of one repository through one `git cat-file` process, also those of a push that is still in
 * quarantine. Requests are sent in batches and answered in order.
 */
import type { GitCage, GitProcess } from "./git-process.ts";
import { startGit } from "./git-process.ts";

export interface ObjectInfo {
  readonly id: string;
  readonly type: "commit" | "tree" | "blob" | "tag";
  readonly bytes: number;
}

/** An object is larger than the caller wanted to read; the process is ended. */
export class ObjectTooLarge extends Error {
  override name = "ObjectTooLarge";
}

const NEWLINE = 0x0a;
const BATCH = 1000;

export class ObjectReader {
  readonly #git: GitProcess;
  readonly #bytes: ByteQueue;

  constructor(
    cage: GitCage,
    given: { gitDir: string; env: Readonly<Record<string, string>>; timeoutMs: number },
  ) {
    this.#git = startGit(cage, {
      args: ["--git-dir", given.gitDir, "cat-file", "--batch-command", "--buffer"],
      env: given.env,
      timeoutMs: given.timeoutMs,
    });
    this.#bytes = new ByteQueue(this.#git.child.stdout);
  }

  /** @param names ids, or `<id>^{tree}` and the like. @returns null for what is missing */
  async infos(names: readonly string[]): Promise<(ObjectInfo | null)[]> {
    const infos: (ObjectInfo | null)[] = [];
    for (let at = 0; at < names.length; at += BATCH) {
      const batch = names.slice(at, at + BATCH);
      this.#send("info", batch);
      for (const _name of batch) infos.push(parseHeader(await this.#bytes.line()));
    }
    return infos;
  }

  /** Calls `each` with every object in order. @throws ObjectTooLarge @throws Error when one is missing */
  async contents(
    ids: readonly string[],
    maxBytes: number,
    each: (id: string, content: Buffer) => void,
  ): Promise<void> {
    for (let at = 0; at < ids.length; at += BATCH) {
      const batch = ids.slice(at, at + BATCH);
      this.#send("contents", batch);
      for (const id of batch) {
        const info = parseHeader(await this.#bytes.line());
        if (info === null) throw new Error(`object ${id} is missing`);
        if (info.bytes > maxBytes) {
          this.#git.kill();
          throw new ObjectTooLarge(`object ${id} has ${info.bytes} bytes`);
        }
        each(id, await this.#bytes.take(info.bytes));
        await this.#bytes.take(1);
      }
    }
  }

  #send(command: string, names: readonly string[]): void {
    this.#git.child.stdin.write(`${names.map((name) => `${command} ${name}\n`).join("")}flush\n`);
  }

  close(): void {
    this.#git.kill();
  }
}

function parseHeader(line: string): ObjectInfo | null {
  const [id = "", type = "", bytes = ""] = line.split(" ");
  if (type === "commit" || type === "tree" || type === "blob" || type === "tag")
    return { id, type, bytes: Number(bytes) };
  return null;
}

/** Bytes of a stream, by line or by count. */
class ByteQueue {
  readonly #chunks: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);

  constructor(stream: AsyncIterable<Buffer>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    for (;;) {
      const end = this.#held.indexOf(NEWLINE);
      if (end >= 0) {
        const line = this.#held.toString("latin1", 0, end);
        this.#held = this.#held.subarray(end + 1);
        return line;
      }
      this.#held = Buffer.concat([this.#held, await this.#next()]);
    }
  }

  async take(count: number): Promise<Buffer> {
    const parts = [this.#held];
    let have = this.#held.length;
    while (have < count) {
      const chunk = await this.#next();
      parts.push(chunk);
      have += chunk.length;
    }
    const all = parts.length === 1 ? this.#held : Buffer.concat(parts);
    this.#held = all.subarray(count);
    return all.subarray(0, count);
  }

  async #next(): Promise<Buffer> {
    const { value, done } = await this.#chunks.next();
    if (done === true) throw new Error("git cat-file ended early");
    return value;
  }
}
