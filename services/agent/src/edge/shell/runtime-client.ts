/**
 * HAProxy's Runtime API over its unix socket: one connection per command, since only the end of the connection
 * says for certain where an answer ends. Each has a deadline and a size limit.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { connect } from "node:net";
import type { Command } from "../core/runtime-text.ts";

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Of a proxy in a container, which holds one environment's sites. */
const MAX_CONTAINED_BYTES = 8 * 1024 * 1024;
/** Linux: the place itself, whatever it is, without opening it. */
const O_PATH = 0o10000000;

export class RuntimeApiError extends Error {
  override name = "RuntimeApiError";
  readonly code: "unreachable" | "deadline" | "too-long" | "refused";

  constructor(code: RuntimeApiError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export class RuntimeClient {
  readonly #socketPath: string;
  readonly #timeoutMs: number;
  readonly #isContained: boolean;

  /** @param isContained who answers may have put anything at the path: nothing but a socket right there is spoken to */
  constructor(socketPath: string, { timeoutMs = 2000, isContained = false } = {}) {
    this.#socketPath = socketPath;
    this.#timeoutMs = timeoutMs;
    this.#isContained = isContained;
  }

  /**
   * @param shown what an error says was asked: never a payload
   * @throws RuntimeApiError unreachable, deadline or too-long
   */
  async ask(text: string, shown = text): Promise<string> {
    if (!this.#isContained) return this.#askAt(this.#socketPath, MAX_ANSWER_BYTES, text, shown);
    const place = await this.#openPlace();
    try {
      return await this.#askAt(`/proc/self/fd/${place.fd}`, MAX_CONTAINED_BYTES, text, shown);
    } finally {
      await place.close();
    }
  }

  /** A link would lead to another proxy's socket, which would then be told this one's secrets. */
  async #openPlace(): Promise<FileHandle> {
    let place: FileHandle | null = null;
    try {
      place = await open(this.#socketPath, O_PATH | constants.O_NOFOLLOW);
      if ((await place.stat()).isSocket()) return place;
      throw new Error("it is no socket");
    } catch (cause) {
      await place?.close();
      throw new RuntimeApiError(
        "unreachable",
        `the proxy is not reachable at ${this.#socketPath}: ${cause}`,
        {
          cause,
        },
      );
    }
  }

  #askAt(path: string, mostBytes: number, text: string, shown: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      const socket = connect(path);
      const timer = setTimeout(() => {
        fail(
          new RuntimeApiError(
            "deadline",
            `the edge's proxy gave no answer to "${shown}" in ${this.#timeoutMs} ms`,
          ),
        );
      }, this.#timeoutMs);
      const fail = (error: RuntimeApiError): void => {
        clearTimeout(timer);
        socket.destroy();
        reject(error);
      };
      socket.on("connect", () => socket.write(`${text}\n`));
      socket.on("data", (chunk) => {
        chunks.push(chunk);
        bytes += chunk.length;
        const limit = `the answer to "${shown}" passed ${mostBytes} bytes`;
        if (bytes > mostBytes) fail(new RuntimeApiError("too-long", limit));
      });
      socket.on("error", (cause) => {
        const where = `the edge's proxy is not reachable at ${this.#socketPath}`;
        fail(new RuntimeApiError("unreachable", `${where}: ${cause.message}`, { cause }));
      });
      socket.on("end", () => {
        clearTimeout(timer);
        socket.destroy();
        resolve(Buffer.concat(chunks).toString("utf8"));
      });
    });
  }

  /** @throws RuntimeApiError also `refused`, with the proxy's words, when it did not do what was asked */
  async run(command: Command): Promise<"done" | "later"> {
    const answer = (await this.ask(command.text)).trim();
    if (answer === "" || command.expect?.test(answer)) return "done";
    if (command.later?.test(answer)) return "later";
    throw new RuntimeApiError(
      "refused",
      `the edge's proxy refused "${command.text}": ${answer.slice(0, 300)}`,
    );
  }
}
