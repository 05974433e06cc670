/**
 * HAProxy's Runtime API over its unix socket. What is asked at once goes over one connection, because a connection is most of
 * what a command costs; its end says where the last answer ends, and a line that no answer holds where the others do. Each
 * connection has a deadline and a size limit.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { connect } from "node:net";
import type { Command } from "../core/runtime-text.ts";

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Of a proxy in a container, which holds one environment's sites. */
const MAX_CONTAINED_BYTES = 8 * 1024 * 1024;
/** Its answer is one line with the socket's level, as which no line of what is shown can pass. */
const SEPARATOR = "show cli level";
const SEPARATED = /^(?:user|operator|admin)$/m;
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

  /**
   * Several questions, each one that shows what Berth itself put there.
   * @returns their answers, in order
   * @throws RuntimeApiError as `ask`, and `refused` when there are not as many answers
   */
  async askAll(questions: readonly string[]): Promise<string[]> {
    if (questions.length === 0) return [];
    const answers = (await this.ask(questions.join(`;${SEPARATOR};`))).split(SEPARATED);
    if (answers.length === questions.length) return answers;
    const said = `${answers.length} answers to ${questions.length} questions: "${questions.join("; ")}"`;
    throw new RuntimeApiError("refused", `the edge's proxy gave ${said}`);
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

  /**
   * The commands of one step. One that is refused does not keep the proxy from those after it, which then have nothing to change.
   * @throws RuntimeApiError also `refused`, with the proxy's words, when it did not do what was asked
   */
  async run(commands: readonly Command[]): Promise<"done" | "later"> {
    const text = commands.map((one) => one.text).join(";");
    const lines = (await this.ask(text)).split("\n").filter((line) => line.trim() !== "");
    const answers = lines.filter((line) => !commands.some(({ expect }) => expect?.test(line)));
    const refused = answers.filter((line) => !commands.some(({ later }) => later?.test(line)));
    if (refused.length === 0) return answers.length === 0 ? "done" : "later";
    const said = refused.join("; ").slice(0, 300);
    throw new RuntimeApiError("refused", `the edge's proxy refused "${text}": ${said}`);
  }
}
