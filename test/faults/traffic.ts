/** A visitor who never stops asking: one request after the other, each with a deadline, failures kept with their time. */
import { request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

export interface Site {
  readonly host: string;
  readonly port: number;
  readonly hostname: string;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

const answerTimeoutMs = 5000;
const pauseMs = 20;

export function get(site: Site, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { host: `${site.hostname}:${site.port}`, connection: "close" };
    const asked = request(
      { host: site.host, port: site.port, path, headers, timeout: answerTimeoutMs },
      (reply) => {
        let body = "";
        reply.setEncoding("utf8");
        reply.on("data", (chunk: string) => {
          body += chunk;
        });
        reply.on("error", reject);
        reply.on("end", () => resolve({ status: reply.statusCode ?? 0, body: body.trim() }));
      },
    );
    asked.on("timeout", () => asked.destroy(new Error(`no answer within ${answerTimeoutMs} ms`)));
    asked.on("error", reject);
    asked.end();
  });
}

export class Traffic {
  readonly #site: Site;
  readonly #path: string;
  readonly #done: Promise<void>;
  #stopped = false;
  #requests = 0;
  #failures: string[] = [];

  constructor(site: Site, path: string) {
    this.#site = site;
    this.#path = path;
    this.#done = this.#run();
  }

  /** What happened since the last call. */
  take(): { readonly requests: number; readonly failures: readonly string[] } {
    const taken = { requests: this.#requests, failures: this.#failures };
    this.#requests = 0;
    this.#failures = [];
    return taken;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const at = new Date().toISOString();
      const failure = await get(this.#site, this.#path).then(
        ({ status, body }) => (status === 200 ? null : `${status} ${body.slice(0, 100)}`),
        (error: unknown) => String(error),
      );
      this.#requests += 1;
      if (failure !== null) this.#failures.push(`${at} ${failure}`);
      await delay(pauseMs);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}
