/**
 * What a host's activator and its agent say to each other, one JSON object a line over a unix socket of the host.
 *
 *   activator ─Hello, Asks─▶ agent      agent ─Told─▶ activator, at once and whenever it changes
 *
 * The activator has no other way to the pod: no bus, no keys, no engine.
 */
import { z } from "zod";
import { EnvironmentId } from "../domain/ids.ts";

const Hostname = z.string().min(1).max(253);

/**
 * Who waits, and where: the request came through the environment's own door, so that it is for one of its host names and
 * for no other's; absent: it came from the edge.
 */
const Door = z.strictObject({ hostname: Hostname, environmentId: EnvironmentId.optional() });
export type Door = z.infer<typeof Door>;

/** The same for the same host name at the same door. */
export function doorKey({ hostname, environmentId }: Door): string {
  return `${environmentId ?? ""}/${hostname}`;
}

export const ActivatorLine = z.discriminatedUnion("say", [
  /** Where it listens, on 127.0.0.1. */
  z.strictObject({ say: z.literal("hello"), port: z.int().min(1).max(65_535) }),
  /** Somebody waits for the host name: its service is to wake. */
  Door.extend({ say: z.literal("ask") }),
  /** Nobody waits for it any more. */
  Door.extend({ say: z.literal("drop") }),
]);
export type ActivatorLine = z.infer<typeof ActivatorLine>;

export const AgentLine = Door.extend({
  /**
   * `unknown`: no route table lists it. `open`: the instances may be connected to. `thawing`: the one instance is on its way
   * out of the freezer; what is sent to it now it reads as soon as it runs, so one request may go there already.
   */
  state: z.enum(["unknown", "waiting", "thawing", "open"]),
  instances: z.array(z.strictObject({ address: z.ipv4(), port: z.int().min(1).max(65_535) })).max(500),
});
export type AgentLine = z.infer<typeof AgentLine>;

/** Environments that have a door: a socket of its own each, for their proxies. All of them. */
export const DoorsLine = z.strictObject({
  say: z.literal("doors"),
  environmentIds: z.array(EnvironmentId).max(1000),
});
export type DoorsLine = z.infer<typeof DoorsLine>;

/** The folder of the doors in a host's folder; each in a folder named as the environment, which its proxies alone see. */
export const DOORS_FOLDER = "activator/doors";
export const DOOR_SOCKET = "activator.sock";

/** One line; who sends a longer one is cut off. */
export const ACTIVATOR_LINE_BYTES = 64 * 1024;

/** The socket's place in a host's folder. */
export const ACTIVATOR_SOCKET = "activator/agent.sock";
