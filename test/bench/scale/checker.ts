/**
 * Runs inside one host's network namespace and tells how many containers of one network answer an HTTP request on
 * their own address. The same program with the same pace looks at every arm.
 *
 *   node checker.ts SOCKET NETWORK PORT PATH
 *
 * Prints `{"present":3,"answering":2}` at first and whenever one of the two changes. Ends when its standard input
 * does, and by itself after ten minutes.
 */
import { get } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { addressesOf, Engine } from "./engine.ts";

const lookEveryMs = 50;
const answerTimeoutMs = 1000;
const probesAtOnce = 64;
const lifeMs = 600_000;

const [socket = "", network = "", port = "", path = ""] = process.argv.slice(2);
const engine = new Engine("checker", socket);
/** By container and address: who is gone and comes back has to answer again. */
const answered = new Set<string>();
const asking = new Set<string>();

process.stdin.resume();
process.stdin.once("end", () => process.exit(0));
setTimeout(() => process.exit(1), lifeMs).unref();

let told = "";
for (;;) {
  const lookedAtMs = performance.now();
  const addresses = await addressesOf(engine, network);
  const present = new Set([...addresses].map(([id, address]) => `${id} ${address}`));
  for (const key of answered) if (!present.has(key)) answered.delete(key);
  for (const [id, address] of addresses) askOnce(`${id} ${address}`, address);
  tell(present.size);
  await delay(Math.max(5, lookEveryMs - (performance.now() - lookedAtMs)));
}

function askOnce(key: string, address: string): void {
  if (answered.has(key) || asking.has(key) || asking.size >= probesAtOnce) return;
  asking.add(key);
  const request = get({ host: address, port, path, agent: false, timeout: answerTimeoutMs }, (reply) => {
    if (reply.statusCode === 200) answered.add(key);
    reply.resume();
  });
  request.once("timeout", () => request.destroy());
  request.once("error", () => undefined);
  request.once("close", () => asking.delete(key));
}

function tell(present: number): void {
  const line = JSON.stringify({ present, answering: answered.size });
  if (line === told) return;
  told = line;
  process.stdout.write(`${line}\n`);
}
