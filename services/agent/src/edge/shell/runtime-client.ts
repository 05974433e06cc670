/**
 * HAProxy's Runtime API over its unix socket: one connection per command, since only the end of the connection
 * says for certain where an answer ends. Each has a deadline and a size limit.
 */
import { connect } from "node:net";
import type { Command } from "../core/runtime-text.ts";

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

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

  constructor(socketPath: string, timeoutMs = 2000) {
    this.#socketPath = socketPath;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @param shown what an error says was asked: never a payload
   * @throws RuntimeApiError unreachable, deadline or too-long
   */
  ask(text: string, shown = text): Promise<string> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      const socket = connect(this.#socketPath);
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
        const limit = `the answer to "${shown}" passed ${MAX_ANSWER_BYTES} bytes`;
        if (bytes > MAX_ANSWER_BYTES) fail(new RuntimeApiError("too-long", limit));
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
