/** `berth tunnel`: one WebSocket per TCP connection. Binary messages are its bytes; text messages are told here. */
import { z } from "zod";
import { ProcessName } from "../../domain/names.ts";
import { ErrorBody } from "../errors.ts";
import { PassageEndReason } from "../passage.ts";
import { SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";

/** The most bytes of one binary message, either way. */
export const TUNNEL_MESSAGE_BYTES = 64 * 1024;

/** What the person's end says besides bytes: that nothing more comes. */
export const TunnelWord = z.strictObject({ type: z.literal("end") });

export const TunnelEvent = z.discriminatedUnion("type", [
  /** The first message, unless it is `refused`: bytes may come and go from here on. */
  z.strictObject({ type: z.literal("open"), instance: z.string(), port: z.int() }),
  /** The instance sends nothing more. */
  z.strictObject({ type: z.literal("end") }),
  /** The last message. */
  z.strictObject({ type: z.literal("closed"), why: PassageEndReason }),
  z.strictObject({ type: z.literal("refused"), error: ErrorBody }),
]);
export type TunnelEvent = z.infer<typeof TunnelEvent>;

export const openTunnel = route({
  method: "GET",
  path: `${SERVICE}/tunnel`,
  role: "member",
  summary: "A TCP connection to a ready instance of a service",
  params: ServicePath,
  query: z.strictObject({
    /** The instance's own port when not told. */
    port: z.coerce.number().int().min(1).max(65_535).optional(),
    /** `web`, or any other where there is no `web`, when not told. */
    process: ProcessName.optional(),
  }),
  reply: TunnelEvent,
  shape: "socket",
});
