/** What a probe in a network namespace is told; see probe-main.ts. */
import { z } from "zod";

const port = z.int().min(0).max(65_535);

export const Ask = z.object({
  /** `name`: resolved and then asked over TCP. `resolve`: only resolved. */
  kind: z.enum(["tcp", "udp", "icmp", "name", "resolve"]),
  to: z.string().min(1),
  /** 0 where there is none. */
  port,
  /** Who resolves; default the container's own resolver. */
  server: z.string().optional(),
  /** Sent from this address, for UDP; default the one that the kernel takes. */
  source: z.string().optional(),
});
export type Ask = z.infer<typeof Ask>;

export const Serve = z.object({
  tcp: z.array(port),
  udp: z.array(port),
  /** Of several own addresses: datagrams to them are answered from them. */
  udpAt: z.array(z.ipv4()).default([]),
});
export type Serve = z.input<typeof Serve>;

/** One small datagram to an echo, again and again, until standard input ends. */
export const Beat = z.object({ to: z.string(), port, everyMs: z.int().min(10) });
export type Beat = z.infer<typeof Beat>;

/** When each was sent, and how long its answer took; null when none came within the patience of the probe. */
export const Beats = z.array(z.object({ atMs: z.number(), tookMs: z.number().nullable() }));
export type Beats = z.infer<typeof Beats>;

/** Addresses from which datagrams came. */
export const Heard = z.array(z.string());

export const Order = z.union([
  z.object({ serve: Serve }),
  z.object({ hear: port }),
  z.object({ beat: Beat }),
  z.object({ ask: z.array(Ask).max(5000), timeoutMs: z.int().min(100).max(10_000) }),
]);

export const Answers = z.array(z.boolean());
