/**
 * The tunnel of an environment that sleeps: it stands and says nothing by itself, and carries the first packet after the
 * wake, before anybody told it that it is used again.
 */
import { expect } from "vitest";
import { until } from "../../git/until.ts";
import { type NetworkApp, type NetworkLab, ORG } from "../network-lab.ts";

const restMs = 60_000;

/** @param ask what the instance on the second host answers to the one on the first */
export async function restsAndWakes(lab: NetworkLab, app: NetworkApp, ask: () => Promise<string>) {
  const tunnel = `wb-${app.environmentId.slice(-10)}`;
  const onBoth = (command: string) => Promise.all(["h1", "h2"].map((host) => lab.on(host, command)));
  const keepalives = (value: string) =>
    until(
      `both ends of ${tunnel} to say ${value}`,
      async () => {
        const shown = await onBoth(`wg show ${tunnel} persistent-keepalive`);
        return shown.every((text) => text.trim().split(/\s+/).at(1) === value) || undefined;
      },
      restMs,
    );
  const processes = () => onBoth(`pgrep -f 'wireguard-g[o] -f ${tunnel}'`);
  const words = (verb: string) => [verb, app.name, "--env", `${ORG}/${app.environment}`];
  const before = await processes();
  await lab.berthEnds(words("sleep"));
  await keepalives("off");
  await lab.berthEnds(words("wake"));
  expect(await ask()).toBe(`${app.environment}-${app.name}`);
  await keepalives("20");
  expect(await processes()).toEqual(before);
}
