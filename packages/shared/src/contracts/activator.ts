/**
 * What a host's activator and its agent say to each other, one JSON object a line over a unix socket of the host.
 *
 *   activator ─Hello, Asks─▶ agent      agent ─Told─▶ activator, at once and whenever it changes
 *
 * The activator has no other way to the pod: no bus, no keys, no engine.
 */
import { z } from "zod";

const Hostname = z.string().min(1).max(253);

export const ActivatorLine = z.discriminatedUnion("say", [
  /** Where it listens, on 127.0.0.1. */
  z.strictObject({ say: z.literal("hello"), port: z.int().min(1).max(65_535) }),
  /** Somebody waits for the host name: its service is to wake. */
  z.strictObject({ say: z.literal("ask"), hostname: Hostname }),
  /** Nobody waits for it any more. */
  z.strictObject({ say: z.literal("drop"), hostname: Hostname }),
]);
export type ActivatorLine = z.infer<typeof ActivatorLine>;

export const AgentLine = z.strictObject({
  hostname: Hostname,
  /**
   * `unknown`: no route table lists it. `open`: the instances may be connected to. `thawing`: the one instance is on its way
   * out of the freezer; what is sent to it now it reads as soon as it runs, so one request may go there already.
   */
  state: z.enum(["unknown", "waiting", "thawing", "open"]),
  instances: z.array(z.strictObject({ address: z.ipv4(), port: z.int().min(1).max(65_535) })).max(500),
});
export type AgentLine = z.infer<typeof AgentLine>;

/** One line; who sends a longer one is cut off. */
export const ACTIVATOR_LINE_BYTES = 64 * 1024;

/** The socket's place in a host's folder. */
export const ACTIVATOR_SOCKET = "activator/agent.sock";
