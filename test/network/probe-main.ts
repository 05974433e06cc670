/**
 * Runs inside of one network namespace: answers, or asks a list of targets and prints which of them answered.
 *
 * Standard input is one JSON line. `{"serve":{"tcp":[80],"udp":[9]}}` listens on every address, IPv4 and IPv6, prints
 * "ready" and lives until its standard input ends. `{"ask":[…],"timeoutMs":1500}` prints a JSON list of booleans.
 * `{"hear":9090}` prints at its end from which addresses datagrams came to a port.
 * `{"beat":{…}}` sends a datagram to an echo again and again, and prints at its end what became of each.
 * Anything that comes back counts as an answer, a refusal too: it says that the packet arrived.
 */
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, isIPv6 } from "node:net";
import { createInterface } from "node:readline/promises";
import { type Ask, type Beat, type Beats, Order, type Serve } from "./probe-order.ts";

const atOnceCount = 200;
/** Where everything leaves a container. */
const containersResolver = gatewayOf(readFileSync("/proc/net/route", "utf8"));

let finish: (() => unknown) | null = null;
for await (const line of createInterface({ input: process.stdin })) {
  const order = Order.parse(JSON.parse(line));
  if ("serve" in order) await serve(order.serve);
  else if ("hear" in order) finish = await hear(order.hear);
  else if ("beat" in order) finish = await beat(order.beat);
  else {
    process.stdout.write(`${JSON.stringify(await askAll(order.ask, order.timeoutMs))}\n`);
    process.exit(0);
  }
}
if (finish !== null) {
  const text = `${JSON.stringify(finish())}\n`;
  await new Promise((done) => process.stdout.write(text, done));
}
process.exit(0);

/** As the kernel tells it: in hexadecimal, last byte first. */
function gatewayOf(routes: string): string {
  const [, hex = "0100007F"] = /^\w+\t00000000\t([0-9A-F]{8})/m.exec(routes) ?? [];
  return hex
    .match(/../g)
    ?.map((byte) => Number.parseInt(byte, 16))
    .reverse()
    .join(".") as string;
}

/** @returns tells from where something came */
async function hear(port: number): Promise<() => string[]> {
  const heard = new Set<string>();
  const socket = createSocket("udp4", (_message, { address }) => heard.add(address));
  socket.bind(port);
  await once(socket, "listening");
  process.stdout.write("ready\n");
  return () => [...heard];
}

/** @returns ends it, with what became of each */
async function beat({ to, port, everyMs }: Beat): Promise<() => Beats> {
  const sent: { atMs: number; tookMs: number | null }[] = [];
  const socket = createSocket("udp4");
  // A way that is away for a moment is what is looked for: it counts as no answer.
  socket.on("error", () => undefined);
  socket.on("message", (message) => {
    const one = sent[Number(message.toString())];
    if (one !== undefined) one.tookMs = Date.now() - one.atMs;
  });
  socket.bind(0);
  await once(socket, "listening");
  const timer = setInterval(() => {
    sent.push({ atMs: Date.now(), tookMs: null });
    socket.send(String(sent.length - 1), port, to, () => undefined);
  }, everyMs);
  process.stdout.write("ready\n");
  return () => {
    clearInterval(timer);
    socket.close();
    return sent;
  };
}

async function serve({ tcp, udp, udpAt = [] }: Serve): Promise<void> {
  for (const port of tcp) {
    const server = createServer((socket) => socket.on("error", () => undefined).end("here\n"));
    server.listen({ port, host: "::" });
    await once(server, "listening");
  }
  for (const port of udp) {
    for (const address of ["::", ...udpAt]) {
      const socket = createSocket({ type: address === "::" ? "udp6" : "udp4", reuseAddr: true });
      socket.on("message", (message, from) => socket.send(message, from.port, from.address, () => {}));
      socket.bind(port, address);
      await once(socket, "listening");
    }
  }
  process.stdout.write("ready\n");
}

async function askAll(asks: readonly Ask[], timeoutMs: number): Promise<boolean[]> {
  const answers: boolean[] = [];
  for (let i = 0; i < asks.length; i += atOnceCount)
    answers.push(...(await Promise.all(asks.slice(i, i + atOnceCount).map((one) => ask(one, timeoutMs)))));
  return answers;
}

async function ask({ kind, to, port, server, source }: Ask, timeoutMs: number): Promise<boolean> {
  if (kind === "icmp") return await ping(to, timeoutMs);
  if (kind === "tcp") return await tcp(to, port, timeoutMs);
  if (kind === "udp") return await udp(to, port, timeoutMs, source);
  const addresses = await resolve(to, server ?? containersResolver, timeoutMs);
  if (kind === "resolve") return addresses.length > 0;
  const answers = await Promise.all(addresses.map((address) => tcp(address, port, timeoutMs)));
  return answers.length > 0 && answers.every(Boolean);
}

function tcp(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host, port });
    const end = (reached: boolean): void => {
      socket.destroy();
      done(reached);
    };
    socket.setTimeout(timeoutMs, () => end(false));
    socket.on("connect", () => end(true));
    socket.on("error", ({ code }: NodeJS.ErrnoException) =>
      end(code === "ECONNREFUSED" || code === "ECONNRESET"),
    );
  });
}

function udp(host: string, port: number, timeoutMs: number, source?: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = createSocket(isIPv6(host.split("%")[0] ?? "") ? "udp6" : "udp4");
    const timer = setTimeout(() => end(false), timeoutMs);
    const end = (reached: boolean): void => {
      clearTimeout(timer);
      socket.close();
      done(reached);
    };
    socket.on("message", () => end(true));
    socket.on("error", ({ code }: NodeJS.ErrnoException) => end(code === "ECONNREFUSED"));
    socket.bind(0, source, () => {
      socket.connect(port, host, () => socket.send("ask", () => undefined));
    });
  });
}

function ping(to: string, timeoutMs: number): Promise<boolean> {
  const seconds = String(Math.ceil(timeoutMs / 1000));
  return new Promise((done) => {
    execFile("/bin/busybox", ["ping", "-c", "1", "-W", seconds, to], { timeout: timeoutMs + 2000 }, (error) =>
      done(error === null),
    );
  });
}

async function resolve(name: string, server: string, timeoutMs: number): Promise<string[]> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  resolver.setServers([server]);
  return await resolver.resolve4(name).catch(() => []);
}
