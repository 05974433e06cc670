/**
 * A visitor inside of a host's network, as a process of its own: asks its edge until its input ends, then prints
 * one line of JSON, the failure of each request or null.
 *
 *   nsenter --net=… node test/hosts/local-visitor.ts PORT HOSTNAME
 */
import { setTimeout as delay } from "node:timers/promises";
import { visit } from "./visitors.ts";

const pauseMs = 200;
const [port = "", hostname = ""] = process.argv.slice(2);
const answers: (string | null)[] = [];
let stopped = false;
process.stdin.on("end", () => {
  stopped = true;
});
process.stdin.resume();
while (!stopped) {
  const outcome = await visit("127.0.0.1", Number(port), hostname);
  answers.push(outcome.kind === "ended" ? outcome.failure : "no connection");
  await delay(pauseMs);
}
console.log(JSON.stringify(answers));
