/** Asks a Docker Engine over its socket: one kept connection per question under way, a deadline for each. */
import { Agent, request } from "node:http";
import { z } from "zod";

const askTimeoutMs = 120_000;
const answerLimitBytes = 16 * 1024 * 1024;

export class EngineAnswer extends Error {
  override name = "EngineAnswer";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export class Engine {
  readonly name: string;
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });

  constructor(name: string, socketPath: string) {
    this.name = name;
    this.#socketPath = socketPath;
  }

  /** @returns the answer's JSON, checked. @throws EngineAnswer when the engine refuses, with its words */
  async ask<T>(schema: z.ZodType<T>, method: string, path: string, body?: unknown): Promise<T> {
    const text = await this.#exchange(method, path, body);
    return schema.parse(text === "" ? null : JSON.parse(text));
  }

  /** For answers that say nothing. */
  async tell(method: string, path: string, body?: unknown): Promise<void> {
    await this.#exchange(method, path, body);
  }

  close(): void {
    this.#agent.destroy();
  }

  #exchange(method: string, path: string, body: unknown): Promise<string> {
    const where = `${this.name}: ${method} ${path.split("?")[0] ?? ""}`;
    const json = body === undefined ? undefined : JSON.stringify(body);
    const headers =
      json === undefined
        ? {}
        : { "content-type": "application/json", "content-length": Buffer.byteLength(json) };
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          ...{ socketPath: this.#socketPath, method, path, headers, agent: this.#agent },
          signal: AbortSignal.timeout(askTimeoutMs),
        },
        (reply) => {
          let text = "";
          reply.setEncoding("utf8");
          reply.on("data", (chunk: string) => {
            text += chunk;
            if (text.length > answerLimitBytes) reply.destroy(new Error(`${where}: too long an answer`));
          });
          reply.once("error", reject);
          reply.once("end", () => {
            const status = reply.statusCode ?? 0;
            if (status >= 200 && status < 300) resolve(text);
            else reject(new EngineAnswer(status, `${where}: ${status} ${text.trim().slice(0, 300)}`));
          });
        },
      );
      asked.once("error", (cause) => reject(new Error(`${where}: ${cause.message}`, { cause })));
      asked.end(json);
    });
  }
}

/** What has been removed already is as good as removed. */
export async function unlessAbsent(told: Promise<void>): Promise<void> {
  try {
    await told;
  } catch (error) {
    if (!(error instanceof EngineAnswer) || error.status !== 404) throw error;
  }
}

const attached = z.object({
  Containers: z
    .record(z.string(), z.object({ Name: z.string(), IPv4Address: z.string() }))
    .nullish()
    .transform((found) => found ?? {}),
});

/** Swarm's own router is on the gateway network too, and is no replica. */
const notReplicas = new Set(["gateway_ingress-sbox"]);

const labelled = z.array(z.object({ Id: z.string(), Labels: z.record(z.string(), z.string()) }));

/** Berth lays its containers' cables itself: the engine knows of no network of theirs. */
async function cabled(engine: Engine, network: string): Promise<[string, string][]> {
  const label = [`berth.environment=${network.replace(/^berth-/, "")}`, "berth.address"];
  const filters = encodeURIComponent(JSON.stringify({ label }));
  const found = await engine.ask(labelled, "GET", `/containers/json?filters=${filters}`);
  return found.map(({ Id, Labels }) => [Id, Labels["berth.address"] ?? ""]);
}

/** @returns the addresses of a network's running containers, by container; none while there is no such network */
export async function addressesOf(engine: Engine, network: string): Promise<Map<string, string>> {
  try {
    if (network.startsWith("berth-env_")) return new Map(await cabled(engine, network));
    const { Containers } = await engine.ask(attached, "GET", `/networks/${network}`);
    const replicas = Object.entries(Containers).filter(([, { Name }]) => !notReplicas.has(Name));
    const addressed = replicas.map(([id, one]) => [id, one.IPv4Address.split("/")[0] ?? ""] as const);
    return new Map(addressed.filter(([, address]) => address !== ""));
  } catch (error) {
    if (error instanceof EngineAnswer && error.status === 404) return new Map();
    throw error;
  }
}
