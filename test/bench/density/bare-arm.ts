/** The floor of C4: the same image by `docker run`, on a host with an engine and nothing else. */
import { setTimeout } from "node:timers/promises";
import { command } from "@berth/infra/lab/command.ts";
import type { Lab } from "@berth/infra/lab/lab.ts";
import type { NetworkApp, NetworkLab } from "../../network/network-lab.ts";
import { usedByProgram, usedPerContainer } from "./host-use.ts";

const loadTimeoutMs = 120_000;
const runTimeoutMs = 600_000;
/** Both arms: garbage of the starts is not memory of an idle app. */
export const restMs = 90_000;
const tag = "berth-bench-density:same";

/** @returns memory per container, of `count` that came to `few`, once they came to rest */
export async function bareMemory(
  lab: NetworkLab,
  app: NetworkApp,
  bare: Lab,
  { few, count }: { readonly few: number; readonly count: number },
) {
  const [source, target] = [lab.lab.host("h1"), bare.host("h1")];
  await copyImage(source, app, target);
  const run = (containers: number) =>
    `for i in $(seq ${containers}); do docker run --detach --init --memory 32m --label berth-bench=density ${tag} >/dev/null || exit 1; done`;
  await sh(target, run(few));
  await setTimeout(restMs);
  const before = usedByProgram(target);
  await sh(target, run(count));
  await setTimeout(restMs);
  const each = usedPerContainer(before, usedByProgram(target), count);
  await sh(target, "docker ps -aq --filter label=berth-bench=density | xargs -r docker rm -f >/dev/null");
  return each;
}

async function copyImage(
  source: NetworkLab["lab"]["hosts"][number],
  app: NetworkApp,
  target: Lab["hosts"][number],
): Promise<void> {
  const image = `$(docker ps --filter label=berth.service=${app.id} --format '{{.ID}}' | head -1 | xargs docker inspect -f '{{.Image}}')`;
  const [save, load] = [source.enter(), target.enter()].map((words) => words.map(quoted).join(" "));
  const pipe = `${save} sh -c ${quoted(`docker tag ${image} ${tag} && docker save ${tag}`)} | ${load} docker load`;
  await command(["sh", "-c", pipe], { timeoutMs: loadTimeoutMs });
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

async function sh(host: Lab["hosts"][number], script: string): Promise<void> {
  const { code, stderr } = await host.exec(["sh", "-c", script], runTimeoutMs);
  if (code !== 0) throw new Error(`${host.name}: ${stderr.trim().slice(0, 500)}`);
}
