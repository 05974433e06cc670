/**
 * Clocks that were an hour ahead and were set right, of hosts whose tunnel then has to shake hands anew. WireGuard takes no
 * handshake that is older than the last one it heard of a key, so for an hour it takes none.
 */
import { until } from "../../git/until.ts";
import { type Finding, level } from "../../hosts/case.ts";
import { clockWasAhead } from "../clocks.ts";
import { type TunnelEvent, tunnelEvents } from "./agent-log.ts";
import { type Given, type Harm, on } from "./harm.ts";

/** Ends what the hosts agreed on: the tunnel's process of the near host is another one. @returns when */
async function killTunnel({ near, tunnel }: Given): Promise<number> {
  const socket = `/var/run/wireguard/${tunnel}.sock`;
  const pids = async () => (await on(near, `pgrep -f 'wireguard-g[o] -f ${tunnel}'`)).trim();
  const before = await pids();
  const atMs = Date.now();
  await on(near, `kill -9 ${before}`);
  await until(
    "the next process of the tunnel",
    async () => {
      const now = await pids();
      const stands = (await on(near, `wg show ${tunnel} peers; test -S ${socket}`)).trim() !== "";
      return now !== "" && now !== before && stands ? true : undefined;
    },
    60_000,
  );
  return atMs;
}

export const clockSetBack: Harm = {
  name: "clock set back",
  what: "the near host's clock was an hour ahead; its tunnel's process is killed",
  promiseMs: 20_000,
  act: async (given) => {
    const { near, far, stage, timeline } = given;
    await clockWasAhead(near.host, far.host, stage.apps[0].environmentId);
    timeline.mark("the other host takes no handshake of it");
    return { overAtMs: await killTunnel(given) };
  },
};

export const clocksSetBack: Harm = {
  name: "clocks set back",
  what: "both hosts' clocks were an hour ahead, and the tunnel has to be agreed on anew",
  promiseMs: 45_000,
  act: async (given) => {
    const { near, far, stage, timeline } = given;
    const { environmentId } = stage.apps[0];
    await clockWasAhead(near.host, far.host, environmentId);
    const atMs = await killTunnel(given);
    await clockWasAhead(far.host, near.host, environmentId);
    timeline.mark("neither host takes a handshake of the other");
    return { overAtMs: atMs, afterwards: () => healedByAgents(given) };
  },
};

/** Without the agents it would stand still for an hour. */
async function healedByAgents({ near, far, tunnel, timeline }: Given): Promise<Finding[]> {
  const look = async () => {
    const both = [near, far].map(({ host }) => tunnelEvents(host, timeline.startedAtMs, tunnel));
    return (await Promise.all(both)).flat();
  };
  const isHealed = (found: readonly TunnelEvent[]): boolean =>
    found.some(({ event }) => event === "tunnel.healed");
  // Agents look every 5 s.
  await until("an agent to find it healed", async () => isHealed(await look()) || undefined, 60_000).catch(
    () => undefined,
  );
  const events = await look();
  for (const { atMs, event } of events)
    timeline.mark(event === "tunnel.stalled" ? "an agent finds it stalled and heals it" : event, atMs);
  return [
    level(
      "clocks set back: found by the probe and healed by the agents",
      "tunnel.stalled, tunnel.healed",
      events.some(({ event }) => event === "tunnel.stalled") && isHealed(events),
      events.map(({ event }) => event).join(", "),
    ),
  ];
}
