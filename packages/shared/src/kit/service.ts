/**
 * The life of a service: configuration, start, ordered shutdown. A crash is an exit: whoever supervises restarts,
 * and start is recovery.
 */
import { flushCompileCache } from "node:module";
import { z } from "zod";
import type { Clock } from "./clock.ts";
import { systemClock } from "./clock.ts";
import type { ConfigOf, ConfigSpec } from "./config.ts";
import { ConfigError, key, parseConfig } from "./config.ts";
import type { Log } from "./log.ts";
import { createLog, describeError } from "./log.ts";

export interface Closable {
  close(): Promise<void> | void;
}

/** Closes what it holds last-in, first-out. */
export class Scope {
  readonly #held: Closable[] = [];
  use<T extends Closable>(closable: T): T {
    this.#held.push(closable);
    return closable;
  }
  async close(log: Log, eachTimeoutMs = 5000): Promise<void> {
    for (const closable of this.#held.reverse()) {
      const timeout = new Promise<"timeout">((resolve) =>
        setTimeout(() => resolve("timeout"), eachTimeoutMs).unref(),
      );
      try {
        const outcome = await Promise.race([Promise.resolve(closable.close()), timeout]);
        if (outcome === "timeout") log.warn("service.close-timeout", { closable: closable.constructor.name });
      } catch (error) {
        log.warn("service.close-failed", { error: describeError(error) });
      }
    }
  }
}

export interface ServiceContext<Spec extends ConfigSpec> {
  readonly config: ConfigOf<Spec>;
  readonly log: Log;
  readonly scope: Scope;
  readonly clock: Clock;
}

const LOG_LEVEL = key("BERTH_LOG_LEVEL", z.enum(["debug", "info", "warn", "error"]), {
  default: "info",
  why: "least level that is logged",
});

/**
 * Runs a service until SIGTERM or SIGINT. `start` wires everything and returns once the service is ready.
 * An unhandled rejection or exception is a bug: it is logged and the process exits with 1.
 */
export async function runService<Spec extends ConfigSpec>(
  name: string,
  spec: Spec,
  start: (context: ServiceContext<Spec>) => Promise<void>,
): Promise<void> {
  const level = parseConfig({ level: LOG_LEVEL }, process.env).level;
  const log = createLog(name, level);
  const scope = new Scope();
  let stopping = false;
  const stop = async (code: number, reason: string) => {
    if (stopping) return;
    stopping = true;
    log.info("service.stopping", { reason });
    setTimeout(() => process.exit(code || 1), 20_000).unref();
    await scope.close(log);
    process.exit(code);
  };
  process.on("SIGTERM", () => void stop(0, "SIGTERM"));
  process.on("SIGINT", () => void stop(0, "SIGINT"));
  process.on("uncaughtException", (error) => {
    log.error("service.bug", { error: describeError(error) });
    process.exit(1);
  });
  process.on("unhandledRejection", (error) => {
    log.error("service.bug", { error: describeError(error) });
    process.exit(1);
  });
  try {
    await start({ config: parseConfig(spec, process.env), log, scope, clock: systemClock });
    log.info("service.ready", { pid: process.pid });
    // A process that is killed would leave nothing for its next start.
    flushCompileCache();
  } catch (error) {
    if (error instanceof ConfigError) log.error("service.config-wrong", { message: error.message });
    else log.error("service.start-failed", { error: describeError(error) });
    await stop(1, "start failed");
  }
}
