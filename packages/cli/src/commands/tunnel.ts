/** `berth tunnel`: a port of this machine that leads to a service's instances, for as long as the command runs. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Command } from "commander";
import type { Client } from "../client.ts";
import type { ServiceAddress } from "../core/parse-remote.ts";
import { byteWords, END_WORDS, parseTunnelTarget, type TunnelTarget } from "../core/tunnel-words.ts";
import { clean } from "../output/clean.ts";
import { colours, print, printJsonLine, say } from "../output/print.ts";
import { duration } from "../output/table.ts";
import { CliError, EXIT, usageError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import { carry, type SocketTarget } from "../session/tunnel-connection.ts";
import type { EnvFlags } from "./common.ts";
import { examples, wholeNumber, withEnv } from "./common.ts";

interface Flags extends EnvFlags {
  readonly localPort?: number;
  readonly process?: string;
}

const HERE = "127.0.0.1";

export function registerTunnelCommand(program: Command): void {
  examples(
    withEnv(program.command("tunnel <service[:port]>"))
      .description("a port of this machine that leads to a service's ready instances, until Ctrl-C")
      .option("-l, --local-port <number>", "the port of this machine", wholeNumber(1, 65_535))
      .option("-p, --process <name>", "whose instances; `web`, or any where there is no `web`")
      .action(tunnel),
    "berth tunnel shop",
    "berth tunnel shop:9229 --local-port 9229",
    "berth tunnel queue:6379 --process worker --env acme/production",
  );
}

async function tunnel(text: string, flags: Flags): Promise<void> {
  const target = parseTunnelTarget(text);
  if (target === null)
    throw usageError(`${JSON.stringify(text)} is not a service`, "Write SERVICE or SERVICE:PORT.");
  const client = await connect();
  const params = await findService(client, target.service, flags.env);
  const { instances } = await client.call("serviceStatus", { params });
  const readyCount = instances.filter(({ ready }) => ready).length;
  const server = await listen(flags.localPort ?? null, target.port);
  tell(flags, params, target, server, readyCount);
  const query = {
    ...(target.port === null ? {} : { port: target.port }),
    ...(flags.process === undefined ? {} : { process: flags.process }),
  };
  await serve(server, client, client.socketTarget("openTunnel", { params, query }), flags);
}

function tell(
  flags: Flags,
  { org, environment, service }: ServiceAddress,
  { port }: TunnelTarget,
  server: Server,
  readyCount: number,
): void {
  const local = (server.address() as AddressInfo).port;
  if (flags.json === true) {
    printJsonLine({ type: "listening", address: HERE, port: local });
    return;
  }
  print(`${HERE}:${local}`);
  const where = `${clean(service)}${port === null ? "" : `:${port}`} of ${clean(org)}/${clean(environment)}`;
  const ready = readyCount === 1 ? "1 instance is ready" : `${readyCount} instances are ready`;
  say(`leads to ${where}: ${ready}; Ctrl-C ends it`);
}

/** The wished port, or else the service's own one if it is free here, or else any. */
async function listen(wished: number | null, own: number | null): Promise<Server> {
  try {
    return await listenAt(wished ?? own ?? 0);
  } catch (cause) {
    if (wished === null) return listenAt(0);
    throw new CliError(`port ${wished} of this machine cannot be listened at: ${(cause as Error).message}`, {
      cause,
      next: "Name another one with --local-port, or leave it out.",
    });
  }
}

async function listenAt(port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
  server.listen(port, HERE);
  await once(server, "listening");
  return server;
}

/** Until Ctrl-C, or until the API says that this person may not. */
async function serve(server: Server, client: Client, target: SocketTarget, flags: Flags): Promise<void> {
  const open = new Set<Socket>();
  let count = 0;
  await new Promise<void>((resolve, reject) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
    server.on("error", reject);
    server.on("connection", (socket) => {
      count += 1;
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      connection(count, socket, target, flags).then((mayGoOn) => {
        if (mayGoOn === null) return;
        reject(mayGoOn);
      }, reject);
    });
  }).finally(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  if (flags.json !== true) say(`the tunnel to ${client.apiUrl} is closed`);
}

const FINAL: ReadonlySet<number> = new Set([EXIT.notLoggedIn, EXIT.notFound]);

/** @returns why the whole command must end, or null */
async function connection(
  number: number,
  socket: Socket,
  target: SocketTarget,
  flags: Flags,
): Promise<CliError | null> {
  const startedMs = Date.now();
  const tellLine = (event: object, words: string) =>
    flags.json === true
      ? printJsonLine({ ...event, connection: number })
      : say(`${colours.dim(`#${number}`)} ${words}`);
  try {
    const { why, toBytes, fromBytes } = await carry(target, socket, (instance, port) =>
      tellLine({ type: "opened", instance, port }, `to ${clean(instance)}, port ${port}`),
    );
    const ranMs = Date.now() - startedMs;
    const sizes = `${byteWords(toBytes)} there, ${byteWords(fromBytes)} back, ${duration(ranMs)}`;
    tellLine({ type: "closed", why, toBytes, fromBytes, ranMs }, `${END_WORDS[why]} (${sizes})`);
    return why === "access-ended"
      ? new CliError(END_WORDS[why], { next: "Ask an owner of the org, or log in again." })
      : null;
  } catch (error) {
    socket.destroy();
    const known = error instanceof CliError ? error : new CliError(String(error), { cause: error });
    tellLine({ type: "failed", message: known.message }, `failed: ${clean(known.message)}`);
    return FINAL.has(known.exitCode) ? known : null;
  }
}
